"""A load test, or one shard of it, from its first node to its last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Any, Final, Protocol

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.driver.ears import Ears
from node.loadtest.driver.fault_player import ExpireAll, FaultPlayer
from node.loadtest.driver.fleet import LoadFleet
from node.loadtest.driver.identities import Identities
from node.loadtest.driver.life import Ground
from node.loadtest.driver.muster import Muster
from node.loadtest.driver.plan_time import PlanTime
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.self_watch import SelfWatch
from node.loadtest.driver.settling import Settling
from node.loadtest.driver.submitter import Submitter
from node.loadtest.driver.target import Target
from node.loadtest.driver.testimony import ask_for_results
from node.loadtest.figures.figures import Figures
from node.loadtest.figures.health import Health
from node.loadtest.plan.population import Order
from node.loadtest.plan.scenario import Schedule
from node.ports.clock import Clock
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner, crash

_AT_ONCE: Final = 50
"""Nodes started or stopped between two turns of the event loop."""


class Phase(Enum):
    """Where a run stands."""

    WAITING = "waiting"
    """For the start that all shards have agreed on."""
    LOAD = "load"
    SETTLING = "settling"
    LEAVING = "leaving"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Times:
    """When a run began, when its load ended and when all was over, in Unix seconds of its own clock."""

    begun_at: float
    load_ended_at: float
    settled_at: float


@dataclass(frozen=True, slots=True, eq=False)
class ShardRecord:
    """What one process measured and saw: figures, health and book merge with those of others.

    ``jobs`` are those that it submitted, ``nodes`` all that it ever started. ``is_cut_short`` says that it was told to stop, ``is_settled`` that no job was open any more when it ended,
    ``left_out`` are faults that could not be committed. ``refused`` nodes were sent away by the gateway for good. For
    ``paused_s`` the plan's time stood still.
    """

    times: Times
    figures: Figures
    health: Health
    book: Book
    jobs: tuple[JobId, ...]
    nodes: tuple[NodeId, ...]
    is_settled: bool
    is_cut_short: bool
    left_out: tuple[str, ...]
    refused: int = 0
    paused_s: float = 0.0


class Sending(Protocol):
    """The part of `node.outbox.sender.Sender` that its owner runs."""

    async def run(self, stop: Signal, left_s: Callable[[], float] = ...) -> None:
        """Send until ``stop`` is set."""
        ...


@dataclass(frozen=True, slots=True)
class Kit:
    """What a run works with, wired by the composition root.

    ``now`` is the run's own clock, Unix seconds that no step moves; ``cpu_s`` the CPU time that this process has used;
    ``on_sandbox`` says that the gateway is one, so that its lease is the plan's for it.
    """

    ground: Ground
    identities: Identities
    sender: Sending
    target: Target
    ears: Ears
    book: Book
    now: Callable[[], float]
    cpu_s: Callable[[], float]
    expire_tokens: ExpireAll
    on_sandbox: bool
    policy: DriverPolicy = field(default_factory=DriverPolicy)


class LoadRun:
    """Run once. `stop` and `abort` may be called at any time."""

    def __init__(self, schedule: Schedule, kit: Kit) -> None:
        self.on_tick: Callable[[], object] = lambda: None
        """Called once a second while it runs."""
        self.on_settled: Callable[[], object] = lambda: None
        """Called once, when no job of this shard is open any more."""
        self.is_settled = False
        self.may_leave = Signal()
        """Nodes stay until it is set, or the time to settle is over: they may hold jobs of other shards."""
        if schedule.shard.count == 1:
            self.may_leave.set()
        self.on_phase: Callable[[], object] = lambda: None
        """Called at each change of `phase`, and of `is_paused`."""
        self.schedule = schedule
        self._phase = Phase.WAITING
        self._kit = kit
        clock: Clock = kit.ground.clock
        self._clock = clock
        self._tasks = kit.ground.desk.tasks
        self._submissions = TaskOwner(kit.ground.events.emit)
        self.fleet = LoadFleet(kit.identities, kit.ground, kit.ears.crashed)
        self.submitter = Submitter(kit.target, self._submissions, kit.ears, kit.policy)
        self._faults = FaultPlayer(
            schedule.faults, self.fleet, kit.ground.line, kit.ears.recorder.mark, kit.expire_tokens
        )
        is_alone = schedule.shard.count == 1
        copies = schedule.plan.copies(on_sandbox=kit.on_sandbox)
        self._settling = Settling(kit.book, self._offered, self._ask, clock, is_alone=is_alone, copies=copies)
        self._jobs: list[JobId] = []
        kit.ears.on_taken = self._taken
        self._watch = SelfWatch(
            kit.ears.recorder, kit.ears.health, clock, kit.now, kit.policy, kit.cpu_s, self._gauges, self._tell_tick
        )
        self._time = PlanTime(kit.now)
        self._stop = Signal()
        self._stopped_at = inf
        self._abort = Signal()
        self._looking: asyncio.Timeout | None = None
        """The bound of a look whether all has settled, while there is one."""

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self._phase

    @property
    def is_paused(self) -> bool:
        """Whether the plan's time stands still."""
        return self._time.is_paused

    @property
    def levels(self) -> Mapping[str, float]:
        """What was found at the last tick; `node.loadtest.live.watched.Standing` has names for it."""
        return self._watch.levels

    @property
    def muster(self) -> Muster:
        """How many nodes are in which state."""
        return self._kit.ears.muster

    @property
    def figures(self) -> Figures:
        """What was measured up to the last second."""
        return self._kit.ears.recorder.figures

    @property
    def elapsed_s(self) -> float:
        """Seconds of the plan, below 0 before its start."""
        return self._time.now_s if self._time.has_begun else -self._kit.policy.start_in_s

    def pause(self) -> None:
        """Hold the plan's time until `resume`, while the load lasts: nodes go on with what they have."""
        if self._phase is Phase.LOAD and self._time.pause():
            self._kit.ears.recorder.mark("paused")
            self.on_phase()

    def resume(self) -> None:
        """Let the plan's time go on."""
        if self._time.resume():
            self._kit.ears.recorder.mark("resumed")
            self.on_phase()

    def stop(self) -> None:
        """End the load now, settle briefly, and come to an end."""
        self._stopped_at = min(self._stopped_at, self._clock.monotonic())
        self._stop.set()
        self._time.end()
        self._hurry(self._kit.policy.brief_settle_s)

    def abort(self) -> None:
        """End at once, without settling."""
        self.stop()
        self._abort.set()
        self._hurry(0.0)
        if self._phase is not Phase.OVER:
            self.fleet.abort()

    async def run(self, start_at: float | None = None) -> ShardRecord:
        """Carry the plan out; what was measured.

        ``start_at`` is the plan's time 0 in Unix seconds by the machine's clock, the same for all shards; None: soon.
        """
        sent, watched = Signal(), Signal()
        beside = [
            self._beside(self._kit.sender.run(sent), "outbox sender"),
            self._beside(self._watch.watch_loop(watched), "loop lag"),
            self._beside(self._watch.tick(watched), "figures"),
        ]
        try:
            begun_at = await self._await_start(start_at)
            await self._load()
            load_ended_at = self._kit.now()
            is_cut_short = self._stop.is_set
            is_settled = await self._settle()
            await self._leave()
        finally:
            sent.set()
            await self._submissions.cancel()
            await asyncio.wait(beside[:1])
            await self._tasks.cancel()
            watched.set()
            await asyncio.wait(beside)
        self._enter(Phase.OVER)
        return ShardRecord(
            times=Times(begun_at, load_ended_at, self._kit.now()),
            figures=self._kit.ears.recorder.figures,
            health=self._kit.ears.health,
            book=self._kit.book,
            jobs=tuple(self._jobs),
            nodes=tuple(self.fleet.names),
            is_settled=is_settled,
            is_cut_short=is_cut_short,
            left_out=tuple(self._faults.left_out),
            refused=self.fleet.refused,
            paused_s=self._time.paused_s,
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self.on_phase()

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Something that goes on for the whole run; should it end by a defect, so does the run."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._kit.ground.events.emit(crash(name, error))
                self.abort()

        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(ended)
        return task

    async def _await_start(self, start_at: float | None) -> float:
        wait_s = self._kit.policy.start_in_s if start_at is None else max(0.0, start_at - self._clock.wall())
        begun_at = self._kit.now() + wait_s
        self._time.begin(begun_at)
        return begun_at if await self._time.until(0.0) else self._kit.now()

    async def _load(self) -> None:
        self._enter(Phase.LOAD)
        plan, time = self.schedule.plan, self._time
        following = TaskOwner(self._kit.ground.events.emit)
        submitting = following.start(self.submitter.run(self.schedule.arrivals(), time), "submit jobs at their times")
        following.start(self._follow_orders(), "start and stop nodes at their times")
        following.start(self._faults.run(time, plan.duration_s), "commit faults at their times")
        try:
            if await time.until(plan.duration_s):
                await asyncio.wait([submitting], timeout=self._kit.policy.overdue_s)
            time.end()
            await following.join()
        finally:
            self._faults.end_all()
            await following.cancel()

    async def _follow_orders(self) -> None:
        for place, order in enumerate(self.schedule.orders()):
            must_wait = order.at_s > self._time.now_s or place % _AT_ONCE == 0
            if must_wait and not await self._time.until(order.at_s):
                return
            if order.order is Order.START:
                self.fleet.start(order.node)
            else:
                self.fleet.stop(order.node)

    async def _settle(self) -> bool:
        """Wait until no job is open, as long as the plan allows; whether that came to be."""
        self._enter(Phase.SETTLING)
        self._watch.is_judging = False
        clock, policy = self._clock, self._kit.policy
        began = clock.monotonic()
        end = began + self.schedule.plan.settling_s(on_sandbox=self._kit.on_sandbox)
        while not self._abort.is_set:
            left_s = end - clock.monotonic()
            if not self.is_settled and self._is_quiet() and await self._has_settled(left_s) and self._is_quiet():
                self.is_settled = True
                self.on_settled()
            if self.is_settled and self.may_leave.is_set:
                return True
            end = min(end, max(began, self._stopped_at) + policy.brief_settle_s)
            left_s = end - clock.monotonic()
            if left_s <= 0:
                return self.is_settled
            await self._abort.wait(min(left_s, policy.look_s))
        return self.is_settled

    async def _has_settled(self, left_s: float) -> bool:
        """Whether all is done, as far as that is found out in the time that is left, however long a gateway takes to tell."""
        try:
            async with asyncio.timeout(max(0.0, left_s)) as self._looking:
                return await self._settling.is_over()
        except TimeoutError:
            return False
        finally:
            self._looking = None

    def _hurry(self, in_s: float) -> None:
        """Look no longer than so many seconds whether all has settled."""
        looking, now = self._looking, asyncio.get_running_loop().time() if self._looking else 0.0
        if looking is not None and not looking.expired() and (looking.when() or now) > now + in_s:
            looking.reschedule(now + in_s)

    def _is_quiet(self) -> bool:
        return not (self.submitter.in_flight or self._kit.ground.outbox.count() or self.fleet.is_busy)

    def _offered(self) -> set[str]:
        """The models of nodes that may take a job: of those that live, or of all where others have nodes, too."""
        return self.fleet.offered if self.schedule.shard.count == 1 else self.schedule.all_models

    async def _leave(self) -> None:
        self._enter(Phase.LEAVING)
        if not self._abort.is_set:
            await self.fleet.drain()
            if await self.fleet.ended(self._kit.policy.drain_s):
                return
        self.fleet.abort()
        await self.fleet.ended(self._kit.policy.abort_s)

    def _taken(self, job: JobId) -> None:
        self._jobs.append(job)
        self._settling.submitted(job)

    async def _ask(self, jobs: list[JobId]) -> None:
        await ask_for_results(self._kit.book, jobs, self._kit.target, self._kit.policy, is_last_word=False)

    def _tell_tick(self) -> None:
        self.on_tick()

    def _gauges(self) -> Mapping[str, float]:
        return {
            "nodes.planned": self.schedule.target(max(0.0, self.elapsed_s)),
            "in_flight": self.submitter.in_flight,
            "outbox": self._kit.ground.outbox.count(),
            "queued": self._kit.ears.recorder.queued,
            "working": self._kit.ears.recorder.working,
        }
