"""A bench that holds nodes whose other side is scripted, and what is put on it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from node.domain.events import Crash, LifeChanged
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, JobId, NodeId
from node.domain.jobs import ChatPayload, Job, MalformedPayload, Message
from node.domain.policies import BackOff, NodePolicy, OutboxPolicy, Range, StopPolicy
from node.domain.results import FinishedJob
from node.domain.secret import Secret
from node.domain.states import Life
from node.manager.supervisor import Supervisor
from node.outbox.sender import Sender
from node.ports.gates import AuthGate, ProxyPool
from node.ports.membership import LinkFactory
from node.ports.offer import Declared, Offer
from node.runtime.signals import Signal
from node.worker.node import WorkerNode
from node.worker.surroundings import Surroundings
from tests.support.script import (
    FlakyOutbox,
    ListenedSink,
    Script,
    ScriptedExecutor,
    ScriptedLinks,
    ScriptedPool,
    SwitchedAuth,
    SwitchedGate,
)
from tests.support.virtual_time import VirtualClock

POLICY = NodePolicy(
    poll_cycle_s=5.0,
    poll_jitter=0.1,
    back_off=BackOff(base_s=1.0, cap_s=8.0),
    models_update=Range(7920, 15840),
    points_check_s=15840.0,
    recovery=Range(100, 200),
)


def spec(name: str = "n1", *, account: str = "a1", models: tuple[str, ...] = ("m",)) -> NodeSpec:
    identity = Identity(NodeId(name), Secret(f"secret-of-{name}"), AccountId(account), "key")
    return NodeSpec(identity, Hardware(1024, 4, 0, "", "linux"), models)


def job(name: str, text: str = "hello", *, max_output: int | None = None) -> Job:
    payload = ChatPayload("m", (Message("user", text),), max_output=max_output)
    return Job(JobId(name), payload, receipt={"api_key": Secret("developer-key")})


def malformed(name: str) -> Job:
    return Job(JobId(name), MalformedPayload("m", "the job has no messages"))


@dataclass
class Bench:
    """Everything around nodes, scripted but for outbox and sender, which are real."""

    policy: NodePolicy = POLICY
    stop_policy: StopPolicy = field(default_factory=StopPolicy)
    gates: tuple[SwitchedGate, ...] = ()
    offer: Offer = field(default_factory=Declared)
    outbox_policy: OutboxPolicy = field(default_factory=OutboxPolicy)
    seed: int = 1

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.random = random.Random(self.seed)
        self.events = ListenedSink()
        self.script = Script()
        self.links = ScriptedLinks(self.script)
        self.executor = ScriptedExecutor()
        self.outbox = FlakyOutbox(self.outbox_policy, self.clock)
        self.sender = Sender(self.outbox, self.clock, self.random, self.events, self.outbox_policy)
        self.auth = SwitchedAuth()
        self.proxies = ScriptedPool()
        self.began = self.clock.monotonic()

    def around(
        self, links: LinkFactory | None = None, auth: AuthGate | None = None, proxies: ProxyPool | None = None
    ) -> Surroundings:
        return Surroundings(
            links=links or self.links,
            executor=self.executor,
            sender=self.sender,
            auth=auth or self.auth,
            proxies=proxies or self.proxies,
            clock=self.clock,
            random=self.random,
            events=self.events,
            policy=self.policy,
            stop_policy=self.stop_policy,
            claim_gates=self.gates,
            offer=self.offer,
        )

    @property
    def now(self) -> float:
        """Seconds since the bench was made."""
        return self.clock.monotonic() - self.began

    @property
    def results(self) -> dict[JobId, FinishedJob]:
        """What the source has taken."""
        return self.links.results

    def lives(self, node: str = "n1") -> list[Life]:
        return [event.after for event in self.events.of(LifeChanged) if event.node == node]

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """The sender runs within the block."""
        stop = Signal()
        task = asyncio.create_task(self.sender.run(stop), name="sender")
        try:
            yield
        finally:
            stop.set()
            await task


class LedNode:
    """A node and the task that leads it."""

    def __init__(self, bench: Bench, node: WorkerNode, start_in_s: float) -> None:
        self.bench = bench
        self.node = node
        work = Supervisor(bench.around()).supervise(node, start_in_s)
        self.task = asyncio.create_task(work, name=f"lead {node.node_id}")

    async def ended_within(self, seconds: float) -> float:
        """Wait for the end; how long that took. Fails when it takes longer."""
        started = self.bench.now
        done, _ = await asyncio.wait([self.task], timeout=seconds)
        assert done, f"{self.node} has not ended within {seconds} s"
        await self.task
        return self.bench.now - started


@contextlib.asynccontextmanager
async def led_node(bench: Bench, start_in_s: float = 0.0, *, spec_: NodeSpec | None = None) -> AsyncIterator[LedNode]:
    """A node that is led, and a sender that runs, within the block; what still lives then is aborted."""
    async with bench.sending():
        node = WorkerNode(spec_ or spec(), bench.around())
        led = LedNode(bench, node, start_in_s)
        try:
            yield led
        finally:
            node.abort()
            await asyncio.wait([led.task])
            if not led.task.cancelled():
                led.task.result()
    crashes = bench.events.of(Crash)
    expected = [text for text in map(str, crashes) if "planted" in text or "defect" in text]
    assert len(crashes) == len(expected), crashes


async def until(condition: Callable[[], object], within_s: float = 3600.0, step_s: float = 0.25) -> None:
    """Let virtual time pass until the condition holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not condition():
        assert loop.time() < end, f"not within {within_s} s of virtual time"
        await asyncio.sleep(step_s)


def jobs(names: Iterable[str]) -> list[Job]:
    return [job(name) for name in names]
