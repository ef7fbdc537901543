"""A fleet and its gateway in one process and in virtual time, wired as the program's own composition root wires them.

Nothing is faked but time and the network: the gateway is the sandbox, called as an ASGI application.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.app.links import GatewayLinks
from node.domain.events import Crash, Event
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.policies import AuthPolicy, NodePolicy, OutboxPolicy, Range, StaggerPolicy, StopPolicy
from node.domain.secret import Secret
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.gateway.asgi_transport import AsgiTransportFactory
from node.gateway.deployment import ClientPolicy, Deployment
from node.gateway.deployment import Surroundings as ClientSurroundings
from node.gateway.turnstile import Turnstile
from node.manager.manager import NodeManager
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.open_gates import DirectOnly
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.outbox.sqlite import SqliteOutbox
from node.ports.executor import Executor
from node.ports.outbox import Outbox
from node.runtime.signals import Signal
from node.sandbox.app import Dated
from node.sandbox.assembly import Sandbox, sandbox
from node.sandbox.assembly import Surroundings as SandboxSurroundings
from node.sandbox.policy import SandboxPolicy, WorkloadPolicy
from node.worker.surroundings import Surroundings
from tests.support.fleet_audit import Audit, WatchedLinks, check_invariants
from tests.support.virtual_time import VirtualClock
from tests.unit.runtime.inline import InlineExecutor

E = TypeVar("E")

URL = "http://gateway.test"
MODELS = ("llama3.1:latest", "qwen2.5:7b", "mistral:latest")


@dataclass(frozen=True)
class Plan:
    """A world before it is made: the same plan gives the same history, event for event."""

    seed: int = 1
    nodes: int = 20
    accounts: int = 5
    node: NodePolicy = field(default_factory=lambda: NodePolicy(poll_cycle_s=5.0, recovery=Range(20, 60)))
    stop: StopPolicy = field(default_factory=StopPolicy)
    stagger: StaggerPolicy = field(default_factory=lambda: StaggerPolicy(min_s=0, max_s=10, spacing_s=0.5))
    client: ClientPolicy = field(default_factory=ClientPolicy)
    auth: AuthPolicy = field(default_factory=AuthPolicy)
    outbox: OutboxPolicy = field(default_factory=OutboxPolicy)
    outbox_file: Path | None = None
    """Where results are kept; None: in memory."""
    sandbox: SandboxPolicy = field(default_factory=SandboxPolicy)
    jobs_per_s: float = 0.5
    latency_s: Range = field(default_factory=lambda: Range(0.005, 0.05))
    """How long a request travels, and its reply."""
    speed: SyntheticPolicy = field(default_factory=SyntheticPolicy)

    @property
    def gateway(self) -> SandboxPolicy:
        """The sandbox's policy with the feeder in it."""
        if self.sandbox.workload is not None:
            return self.sandbox
        workload = WorkloadPolicy(other_models=MODELS, rate_per_s=self.jobs_per_s, share_other=1.0)
        return replace(self.sandbox, workload=workload)


class History:
    """Every event with its time (of the loop, in seconds)."""

    def __init__(self, clock: VirtualClock) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []
        self._clock = clock

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        self.times.append(self._clock.monotonic())

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def lines(self) -> list[str]:
        return [f"{at!r} {event!r}" for at, event in zip(self.times, self.events, strict=True)]

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


class CountingIds:
    """Names in order."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        self._last += 1
        return f"00000000-0000-4000-8000-{self._last:012d}"


class GatewayHost:
    """Where the gateway lives: it can be ended and started again, and has an address all the while.

    It is an ASGI application over a network with latency. While no gateway runs connections are refused; those
    that are open when it ends break.
    """

    def __init__(self, plan: Plan, clock: VirtualClock) -> None:
        self.clock = clock
        self.history = History(clock)
        self._plan = plan
        self._chance = random.Random(f"gateway {plan.seed}")
        self._ids = CountingIds()
        self._stack = AsyncExitStack()
        self._app: ASGIApp | None = None
        self.sandboxes: list[Sandbox] = []
        """All that have run, the present one last."""

    @property
    def sandbox(self) -> Sandbox:
        return self.sandboxes[-1]

    async def start(self) -> None:
        """Start a gateway that knows nothing of those before it, but for what its policy's folder holds."""
        around = SandboxSurroundings(
            clock=self.clock,
            random=self._chance,
            ids=self._ids,
            secret=Secret(f"signing-secret-{len(self.sandboxes)}-{'x' * 32}"),
            control_token=Secret("control-token"),
            on_crash=self._tell,
            executor=InlineExecutor(),
        )
        running = await self._stack.enter_async_context(sandbox(self._plan.gateway, around))
        self.sandboxes.append(running)
        self._app = Dated(running.app, self.clock)

    async def stop(self) -> None:
        self._app = None
        await self._stack.aclose()

    async def restart(self, down_s: float) -> None:
        await self.stop()
        await asyncio.sleep(down_s)
        await self.start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._travel()
        app = self._app
        if app is None:
            raise ConnectionRefusedError("nobody listens there")

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._travel()
            if self._app is not app:
                raise ConnectionResetError("the gateway has ended")
            await send(message)

        await app(scope, receive, sent)

    def _tell(self, crash: Crash) -> None:
        self.history.emit(crash)

    async def _travel(self) -> None:
        if self._plan.latency_s.high:
            await asyncio.sleep(self._plan.latency_s.draw(self._chance))


@dataclass
class World:
    """A fleet that runs, its gateway, and what is known of both."""

    plan: Plan
    clock: VirtualClock
    history: History
    host: GatewayHost
    outbox: Outbox
    sender: Sender
    auth: AuthHealthMonitor
    manager: NodeManager
    audit: Audit
    running: asyncio.Task[None]

    def lives(self) -> dict[NodeId, str]:
        return {name: node.life.value for name, node in self.manager.nodes.items()}

    async def all_are(self, life: str, within_s: float = 600.0) -> None:
        await self.until(lambda: set(self.lives().values()) == {life}, within_s)

    async def until(self, condition: Callable[[], object], within_s: float = 600.0) -> None:
        """Let virtual time pass until the condition holds."""
        end = self.clock.monotonic() + within_s
        while not condition():
            assert self.clock.monotonic() < end, f"not within {within_s} s: {self.lives()}"
            await asyncio.sleep(1)

    async def finish(self, within_s: float = 3600.0) -> None:
        """Feed no more, and wait until every job has its answer and no result waits."""
        sandbox_ = self.host.sandbox
        sandbox_.feeder.stop()

        def is_done() -> bool:
            return not (sandbox_.gateway.network().jobs - sandbox_.gateway.network().accepted or self.outbox.count())

        await self.until(is_done, within_s)

    async def drain(self) -> float:
        """Drain the fleet; how many seconds that took."""
        return await self._end(self.manager.drain)

    async def abort(self) -> float:
        """Abort the fleet; how many seconds that took."""
        return await self._end(self.manager.abort)

    async def _end(self, stop: Callable[[], None]) -> float:
        started = self.clock.monotonic()
        stop()
        await self.running
        return self.clock.monotonic() - started

    def check(self, *, crashes: int = 0) -> None:
        """See `check_invariants`: for when every life is over."""
        gateways = [running.gateway for running in self.host.sandboxes]
        check_invariants(self.audit, self.history.events, self.outbox, gateways, crashes=crashes)


def roster(plan: Plan) -> list[NodeSpec]:
    """Nodes that differ in the models they offer."""
    return [
        NodeSpec(
            Identity(
                node_id=NodeId(f"node-{number:03d}"),
                secret=Secret(f"node-secret-{number:03d}"),
                account_id=AccountId(f"account-{number % plan.accounts}"),
                pub_key=f"key-{number}",
            ),
            Hardware(ram_mb=16384, cpu_cores=8, vram_mb=8192, gpu="none", os="linux"),
            MODELS[: 1 + number % len(MODELS)],
        )
        for number in range(plan.nodes)
    ]


@contextlib.asynccontextmanager
async def world(plan: Plan, executor: Executor | None = None) -> AsyncIterator[World]:
    """A gateway and a fleet that run within the block; a fleet that still runs at its end is aborted."""
    async with gateway(plan) as host, fleet(plan, host, executor) as running:
        yield running


@contextlib.asynccontextmanager
async def gateway(plan: Plan) -> AsyncIterator[GatewayHost]:
    """A gateway that runs within the block, for one fleet or for several after each other."""
    host = GatewayHost(plan, VirtualClock())
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


@contextlib.asynccontextmanager
async def fleet(
    plan: Plan, host: GatewayHost, executor: Executor | None = None, *, after: World | None = None
) -> AsyncIterator[World]:
    """A fleet that runs within the block, one process as it were; what still lives at its end is aborted.

    ``after`` is the fleet whose successor it is: history and audit go on.
    """
    clock, history = host.clock, host.history
    chance = random.Random(f"fleet {plan.seed} {len(history.events)}")
    audit = after.audit if after is not None else Audit(plan.node, clock)
    async with AsyncExitStack() as stack:
        transports = AsgiTransportFactory(host, history.emit)
        stack.push_async_callback(transports.aclose)
        outbox = await _open_outbox(plan, clock, history)
        stack.push_async_callback(outbox.aclose)
        sender = Sender(outbox, clock, chance, history, plan.outbox)
        auth = AuthHealthMonitor(plan.auth, history, chance)
        stack.callback(auth.close)
        links = GatewayLinks(
            transports=transports,
            deployment=Deployment(URL, URL, "0.0.4"),
            policy=plan.client,
            surroundings=ClientSurroundings(
                auth,
                clock,
                chance,
                history,
                remember=audit.secrets.append,
                turnstile=Turnstile(
                    plan.stagger.return_gap_s(plan.node.poll_cycle_s, plan.nodes),
                    has_results=lambda node: outbox.count(node) > 0,
                ),
            ),
            stop=Signal(),
        )
        around = Surroundings(
            links=WatchedLinks(links, audit),
            executor=executor or SyntheticExecutor(plan.speed, chance),
            sender=sender,
            auth=auth,
            proxies=DirectOnly(),
            clock=clock,
            random=chance,
            events=history,
            policy=plan.node,
            stop_policy=plan.stop,
        )
        nodes = roster(plan)
        audit.secrets += [spec.identity.secret for spec in nodes]
        manager = NodeManager(nodes, around, plan.stagger)
        audit.watch(manager, outbox, sender)
        async with _running(manager, sender) as running:
            yield World(plan, clock, history, host, outbox, sender, auth, manager, audit, running)


@contextlib.asynccontextmanager
async def _running(manager: NodeManager, sender: Sender) -> AsyncIterator[asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    end = Signal()
    sending = loop.create_task(sender.run(end), name="sender")
    running = loop.create_task(manager.run(), name="manager")
    try:
        yield running
    finally:
        manager.abort()
        await asyncio.wait([running])
        end.set()
        await asyncio.wait([sending])
        for task in (running, sending):
            if not task.cancelled():
                task.result()


async def _open_outbox(plan: Plan, clock: VirtualClock, history: History) -> Outbox:
    if plan.outbox_file is None:
        return MemoryOutbox(plan.outbox, clock)
    return await SqliteOutbox.open(
        plan.outbox_file, plan.outbox, clock, history, executor=InlineExecutor(), free=lambda _: 1 << 40
    )


def first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    """Where two histories part; empty when they do not."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"event {number}:\n  {left}\n  {right}"
    return "" if len(one) == len(other) else f"one has {len(one)} events, the other {len(other)}"
