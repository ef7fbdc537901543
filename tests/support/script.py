"""The other side of a node, which does what a test has written down: gateway, engine, disk, gates, listener."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.domain.errors import StorageError, Withdrawn
from node.domain.events import Event
from node.domain.identity import NodeSpec
from node.domain.ids import JobId, NodeId, SourceId
from node.domain.jobs import ChatPayload, Job
from node.domain.policies import OutboxPolicy
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob, Generation, Points
from node.domain.states import Hold
from node.domain.verdict import Ruling, Verdict
from node.monitors.open_gates import AlwaysHealthy, DirectOnly
from node.outbox.memory import MemoryOutbox
from node.ports.executor import Partials
from node.runtime.signals import Signal
from tests.support.virtual_time import VirtualClock

SOURCE = SourceId("scripted")


@dataclass(frozen=True)
class After:
    """An outcome that takes its time."""

    seconds: float
    outcome: object = None


NEVER = After(1e9)


class Script:
    """What the other side does, step by step: what was planned for a step, in order, and then what it does always."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        """Each step with the time at which it came, in seconds since the script was made."""
        self.always: dict[str, object] = {}
        self._plans: dict[str, deque[object]] = {}
        self._began = asyncio.get_running_loop().time()

    def plan(self, step: str, *outcomes: object) -> None:
        self._plans.setdefault(step, deque()).extend(outcomes)

    async def play(self, step: str) -> Any:
        if step not in self._plans and step.startswith("poll's"):
            return None
        self.log.append((asyncio.get_running_loop().time() - self._began, step))
        plan = self._plans.get(step)
        outcome = plan.popleft() if plan else self.always.get(step)
        if isinstance(outcome, After):
            await asyncio.sleep(outcome.seconds)
            outcome = outcome.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @property
    def steps(self) -> list[str]:
        return [step for _, step in self.log]

    def times(self, step: str) -> list[float]:
        return [at for at, name in self.log if name == step]


class ScriptedMembership:
    def __init__(self, script: Script, on_lost: Callable[[], None]) -> None:
        self.lost = ""
        self._script = script
        self._on_lost = on_lost
        self.in_session = False

    def lose(self, reason: str) -> None:
        """As a renewal that failed does."""
        self.lost = reason
        self.in_session = False
        self._on_lost()

    async def check_secret(self) -> None:
        await self._script.play("secret")

    async def check_identity(self) -> None:
        await self._script.play("identity")

    async def register(self) -> None:
        await self._script.play("register")
        self.in_session = True

    async def announce(self, models: tuple[str, ...]) -> None:
        await self._script.play("models")

    async def points(self) -> Points:
        points = await self._script.play("points")
        return points if isinstance(points, Points) else Points(1.0, 1.0)

    async def leave(self, timeout_s: float) -> None:
        was_in_session, self.in_session = self.in_session, False
        if was_in_session:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._script.play("leave")


class ScriptedSource:
    """A poll's outcome is a job, None or an error; a result's is a verdict. Results need a session, as in life."""

    def __init__(self, script: Script, membership: ScriptedMembership, results: dict[JobId, FinishedJob]) -> None:
        self._script = script
        self._membership = membership
        self._results = results

    @property
    def source_id(self) -> SourceId:
        return SOURCE

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        await self._script.play("poll's wait for a renewal")
        if still_wanted is not None and not still_wanted():
            raise Withdrawn("not wanted any more")
        outcome = await self._script.play("poll")
        return outcome if isinstance(outcome, Job) else None

    async def settle(self, finished: FinishedJob) -> Verdict:
        if not self._membership.in_session:
            return Verdict(Ruling.SESSION_LOST, "the node has no session")
        verdict = await self._script.play("result")
        verdict = verdict if isinstance(verdict, Verdict) else Verdict(Ruling.OK)
        if verdict.ruling is Ruling.OK:
            self._results[finished.key.job] = finished
        return verdict


@dataclass
class ScriptedLink:
    membership: ScriptedMembership
    source: ScriptedSource
    script: Script
    proxy: ProxyAddress | None = None
    closed: int = 0

    async def aclose(self) -> None:
        self.closed += 1
        await self.script.play("close")


class ScriptedLinks:
    """Every link of every node plays the same script; what they take is in ``results``."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.results: dict[JobId, FinishedJob] = {}
        self.links: list[ScriptedLink] = []

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> ScriptedLink:
        assert all(link.closed for link in self.links if link.membership.lost), "a lost link was left open"
        membership = ScriptedMembership(self.script, on_lost)
        link = ScriptedLink(membership, ScriptedSource(self.script, membership, self.results), self.script, proxy)
        self.links.append(link)
        return link

    @property
    def current(self) -> ScriptedLink:
        return self.links[-1]


class ScriptedExecutor:
    """Each job takes ``seconds``, unless something else was planned for the next ones."""

    name = "scripted"

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.seen: list[ChatPayload] = []
        self.running = 0
        self.peak = 0
        self._plan: deque[object] = deque()

    def plan(self, *outcomes: object) -> None:
        self._plan.extend(outcomes)

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        self.seen.append(payload)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            outcome = self._plan.popleft() if self._plan else After(self.seconds)
            if isinstance(outcome, After):
                await asyncio.sleep(outcome.seconds)
                outcome = outcome.outcome
            if isinstance(outcome, BaseException):
                raise outcome
        finally:
            self.running -= 1
        return Generation(f"answer to {payload.prompt}", payload.model, self.name)

    async def aclose(self) -> None:
        pass


class FlakyOutbox(MemoryOutbox):
    """An outbox whose disk fails as planned: the next puts raise these, one each."""

    def __init__(self, policy: OutboxPolicy, clock: VirtualClock) -> None:
        super().__init__(policy, clock)
        self.failures: deque[StorageError] = deque()
        self.failing: StorageError | None = None
        """Raised by every put while it is set."""
        self.put_s = 0.0
        self.is_open = True

    @property
    def accepting(self) -> bool:
        return self.is_open and super().accepting

    def put_now(self, finished: FinishedJob, /) -> bool:
        return not (self.put_s or self.failing or self.failures) and super().put_now(finished)

    async def put(self, finished: FinishedJob) -> None:
        if self.put_s:
            await asyncio.sleep(self.put_s)
        if self.failing is not None:
            raise self.failing
        if self.failures:
            raise self.failures.popleft()
        await super().put(finished)


@dataclass
class SwitchedGate:
    """A claim gate that a test opens and closes."""

    hold: Hold = Hold.ENGINE
    closed_because: str = ""


class ChangingOffer:
    """An offer that a test changes."""

    def __init__(self, *models: str) -> None:
        self._models = models
        self.calls: list[Callable[[], object]] = []

    def models(self, spec: NodeSpec) -> tuple[str, ...]:
        return self._models

    def on_change(self, call: Callable[[], object]) -> Callable[[], None]:
        self.calls.append(call)
        return lambda: self.calls.remove(call)

    def change(self, *models: str) -> None:
        self._models = models
        for call in list(self.calls):
            call()


class SwitchedAuth(AlwaysHealthy):
    """An auth gate that can be held shut, or be held to be unhealthy though it is open."""

    def __init__(self) -> None:
        self.is_healthy = True
        self.gate: Signal | None = None

    @property
    def healthy(self) -> bool:
        return self.is_healthy

    async def wait_healthy(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


class ScriptedPool(DirectOnly):
    """Remembers what nodes told of their proxies; hands one out after ``wait_s`` if it has one."""

    def __init__(self, address: ProxyAddress | None = None) -> None:
        self.address = address
        self.wait_s = 0.0
        self.reports: list[tuple[bool, str]] = []
        self.releases: Counter[NodeId] = Counter()

    async def lease(self, node: NodeId, own: ProxyAddress | None) -> ProxyAddress | None:
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        return self.address

    def report(self, node: NodeId, *, ok: bool, reason: str = "") -> None:
        self.reports.append((ok, reason))

    def release(self, node: NodeId) -> None:
        self.releases[node] += 1


class ListenedSink:
    """Keeps every event, and calls ``listener`` with it: what a listener does, it does in the midst of things."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.listener: Callable[[Event], object] = lambda _event: None

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        self.listener(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]
