"""A real fleet at an evil gateway: each node meets a case of its own at one of its steps, and then a good gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import parse_qs, urlsplit

import jwt

from node.app.links import GatewayLinks
from node.domain.events import Crash
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.policies import (
    AuthPolicy,
    BackOff,
    NodePolicy,
    OutboxPolicy,
    Range,
    RetryPolicy,
    StaggerPolicy,
    StepTimeouts,
    StopPolicy,
)
from node.domain.secret import Secret
from node.domain.states import Life
from node.gateway.deployment import ClientPolicy, Deployment
from node.gateway.deployment import Surroundings as ClientSurroundings
from node.manager.manager import NodeManager
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.open_gates import DirectOnly
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.ports.transport import TransportFactory
from node.protocol.tokens import issue
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from node.worker.surroundings import Surroundings
from tests.evil.cases import Case
from tests.evil.parts import reply
from tests.evil.server import Asked, Script
from tests.evil.steps import GOOD, NONE, EvilStep, told_of
from tests.evil.table import allowed
from tests.support.events import RecordingSink
from tests.support.script import ScriptedExecutor
from tests.support.waiting import wait_until

STEP_S = 1.0
EVIL_TIMES = (1, 2, 4)
"""How often a node meets its case: an attempt, all attempts of a step, and those of the next life too."""


@dataclass
class Fate:
    """What is in store for a node, and what has become of it."""

    step: EvilStep
    case: Case
    left: int
    polls: int = 0
    handed: int = 0
    taken: int = 0

    @property
    def is_through(self) -> bool:
        """Whether its evil is over, and the node has worked since and come for more."""
        return self.left == 0 and self.taken > 0 and self.polls > 1

    def __str__(self) -> str:
        return f"{self.step} met {self.case.name!r} ({self.left} left, {self.polls} polls, {self.taken} results)"


@dataclass
class EvilGateway:
    """A gateway whose ``answer`` is evil as long as a node's fate says so."""

    fates: dict[str, Fate]

    def answer(self, asked: Asked) -> Script:
        node = _who(asked)
        fate = self.fates.get(node)
        if fate is None:
            return (reply(b"{}", status="404 Who"),)
        body = self._good(node, fate, asked)
        if fate.left and asked.path == fate.step.path:
            fate.left -= 1
            return fate.case.reply(body)
        if fate.left and fate.step.name == "leave" and asked.path.endswith("get_job"):
            # A node leaves when its session has come to a fault.
            return (reply(b"", status="302 Go"),)
        return (reply(body),)

    def _good(self, node: str, fate: Fate, asked: Asked) -> bytes:
        match asked.path.rpartition("/")[2]:
            case "register_node":
                content: object = {"access_token": issue({"sub": node, "exp": 4e9}, "k" * 32)}
            case "get_job":
                content = {"job_data": self._job(node, fate)}
            case "update_result":
                fate.taken += not fate.left
                content = {"status": "ok"}
            case _:
                content = told_of(asked.path)
        return json.dumps(content).encode()

    def _job(self, node: str, fate: Fate) -> object:
        fate.polls += not fate.left
        if fate.taken:
            return None
        fate.handed += 1
        said = [{"role": "user", "content": "hello"}]
        return {"job_id": f"{node}-{fate.handed}", "api_key": "dev", "model": "m", "messages": said}


def _who(asked: Asked) -> str:
    """The node that asks: it says so in its body, in its query, or by its token."""
    if asked.body:
        said = json.loads(asked.body)
        name = said.get("node_id") or said.get("node_url")
        if name:
            return str(name)
    named = parse_qs(urlsplit(asked.target).query).get("node_name")
    if named:
        return named[0]
    token = asked.headers.get("authorization", "").removeprefix("Bearer ")
    return str(jwt.decode(token, options={"verify_signature": False})["sub"]) if token else ""


def fates(rounds: Sequence[tuple[EvilStep, Case]]) -> dict[str, Fate]:
    """A node for each round; what may be taken as good is said once, since a node goes on then."""
    times = cycle(EVIL_TIMES)
    return {
        f"node-{number}": Fate(step, case, 1 if allowed(step, case) & {GOOD, NONE} else next(times))
        for number, (step, case) in enumerate(rounds)
    }


@dataclass
class RunningFleet:
    """The fleet, and what can be asked of it."""

    manager: NodeManager
    outbox: MemoryOutbox
    events: RecordingSink
    running: asyncio.Task[None]

    @property
    def crashes(self) -> list[Crash]:
        return self.events.of(Crash)

    async def drain(self, within_s: float) -> None:
        self.manager.drain()
        async with asyncio.timeout(within_s):
            await self.running


def _spec(name: str) -> NodeSpec:
    identity = Identity(NodeId(name), Secret(f"secret-of-{name}"), AccountId("a"), "key")
    return NodeSpec(identity, Hardware(1024, 4, 0, "", "linux"), ("m",))


@contextlib.asynccontextmanager
async def fleet(names: Sequence[str], url: str, transports: TransportFactory) -> AsyncIterator[RunningFleet]:
    """Nodes of these names that run at this gateway within the block, with waits cut short."""
    clock, chance, events = SystemClock(), random.Random(1), RecordingSink()
    back_off = BackOff(0.02, 0.1)
    auth = AuthHealthMonitor(
        AuthPolicy(failures=10_000, open_s=0.1, open_cap_s=0.2, release_per_s=1000), events, chance
    )
    outbox_policy = OutboxPolicy(back_off=back_off, sweep_s=5.0)
    outbox = MemoryOutbox(outbox_policy, clock)
    sender = Sender(outbox, clock, chance, events, outbox_policy)
    client = ClientPolicy(RetryPolicy(2, 30.0, back_off), StepTimeouts(*[STEP_S] * 9))
    links = GatewayLinks(
        transports,
        Deployment(url, url, "0.0.4"),
        client,
        ClientSurroundings(auth, clock, chance, events),
        Signal(),
    )
    around = Surroundings(
        links=links,
        executor=ScriptedExecutor(0.0),
        sender=sender,
        auth=auth,
        proxies=DirectOnly(),
        clock=clock,
        random=chance,
        events=events,
        policy=NodePolicy(
            poll_cycle_s=0.5,
            poll_failures=3,
            back_off=back_off,
            job_deadline_s=20.0,
            models_update=Range(0.5, 1.0),
            points_check_s=0.5,
            recovery=Range(0.1, 0.3),
            refusals=1_000,
        ),
        stop_policy=StopPolicy(drain_s=10.0),
    )
    manager = NodeManager([_spec(name) for name in names], around, StaggerPolicy(0, 1.0, 0.01, 0.01))
    end = Signal()
    sending = asyncio.create_task(sender.run(end), name="sender")
    running = asyncio.create_task(manager.run(), name="manager")
    try:
        yield RunningFleet(manager, outbox, events, running)
    finally:
        manager.abort()
        await asyncio.wait([running])
        end.set()
        await sending
        auth.close()
        running.result()


async def stragglers(fleet: RunningFleet, fates: dict[str, Fate], within_s: float) -> list[str]:
    """Wait until all are through and run; those that are not by then."""

    def late() -> list[str]:
        lives = {str(name): node.life for name, node in fleet.manager.nodes.items()}
        return [
            f"{name} is {lives[name].value}: {fate}"
            for name, fate in fates.items()
            if not (fate.is_through and lives[name] is Life.RUNNING)
        ]

    with contextlib.suppress(AssertionError):
        await wait_until(lambda: not late(), within_s)
    return late()
