"""A load test over several shards: started, led, shown as one, and put together again."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.shards_task import ShardGateway, task_of
from node.loadtest.driver.muster import Count
from node.loadtest.driver.run import Phase, ShardRecord
from node.loadtest.driver.self_watch import CPU, LAG
from node.loadtest.figures.figures import Figures
from node.loadtest.plan.scenario import Schedule, Shard
from node.loadtest.shards.conductor import Conductor, LeadPolicy
from node.loadtest.shards.merging import merged
from node.loadtest.shards.messages import ShardStanding
from node.loadtest.shards.news import add_news
from node.loadtest.shards.pool import ShardPool
from node.runtime.system import SystemClock, SystemIds

_PHASES: Final = tuple(Phase)
_BALANCES: Final = ("queued", "working")
"""Levels that are right as the sum over all shards alone, ended ones too: one counts up what another counts down."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Over how many shards a load test runs, and where: ``pool`` makes the place, given what tells people something.

    ``is_local`` says that all of them are on this machine.
    """

    count: int
    pool: Callable[[Callable[[str], object]], ShardPool]
    is_local: bool = True

    def crowd(self, cores: int, *, with_sandbox: bool) -> str | None:
        """Who takes turns on so many cores of this machine; None where each has one of its own."""
        if not self.is_local or self.count + with_sandbox <= cores:
            return None
        processes = f"{self.count} processes{' and the sandbox gateway' if with_sandbox else ''}"
        return f"{processes} on {cores} {'core' if cores == 1 else 'cores'}"


def own_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class LedRecord:
    """The record of all shards; ``notes`` and ``defects`` are what whoever reads the figures should know."""

    record: ShardRecord
    notes: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


class ShardedRun:
    """One run over several shards, with the face of a `node.loadtest.driver.run.LoadRun` for those who watch and steer.

    Its figures are those of the seconds so far, without histograms of the whole: these are in the record.
    """

    def __init__(self, plan: LoadTestPlan, shards: Shards, say: Callable[[str], object]) -> None:
        self.on_tick: Callable[[], object] = lambda: None
        """Called when each shard that goes on has told how it stands, which is once a second."""
        self.on_phase: Callable[[], object] = lambda: None
        """Called when `phase` or `is_paused` may have changed."""
        self.schedule: Schedule = plan.schedule
        self.figures = Figures()
        """What was measured so far."""
        self._plan = plan
        self._count = shards.count
        self._pool = shards.pool(say)
        self._clock = SystemClock()
        self._conductor = Conductor(self._clock, LeadPolicy(), say)
        self._conductor.on_standing = self._stands
        self._conductor.on_end = self._ended
        self._standings: dict[int, ShardStanding] = {}
        self._going_on = set(range(shards.count))
        self._untold = set(self._going_on)

    @property
    def phase(self) -> Phase:
        """Where the shard is that is farthest behind."""
        phases = [one.phase for one in self._live()]
        return min(phases, key=_PHASES.index) if phases else Phase.WAITING

    @property
    def is_paused(self) -> bool:
        """Whether the plan's time stands still."""
        return any(one.is_paused for one in self._live())

    @property
    def elapsed_s(self) -> float:
        """Seconds of the plan, below 0 before its start."""
        return max((one.elapsed_s for one in self._live()), default=self._clock.wall() - self._conductor.start_at)

    @property
    def levels(self) -> Mapping[str, float]:
        """The sums of what the shards found last that go on; of `LAG` and `CPU`, to which each is held, the worst."""
        live = self._live()
        names = {name: None for one in live for name in one.levels}
        levels = {name: sum(one.levels.get(name, 0.0) for one in live) for name in names}
        levels |= {name: sum(one.levels.get(name, 0.0) for one in self._standings.values()) for name in _BALANCES}
        return levels | {name: max((one.levels.get(name, 0.0) for one in live), default=0.0) for name in (LAG, CPU)}

    @property
    def muster(self) -> ShardedRun:
        """See `count`."""
        return self

    def count(self) -> Count:
        """How many nodes of all shards are in which state; see `node.loadtest.driver.muster.Muster`."""
        states: Counter[str] = Counter()
        for one in self._live():
            states.update(one.states)
        return Count(sum(one.running for one in self._live()), dict(states))

    def pause(self) -> None:
        """Hold the plan's time everywhere."""
        self._conductor.pause(on=True)

    def resume(self) -> None:
        """Let the plan's time go on."""
        self._conductor.pause(on=False)

    def stop(self) -> None:
        """End the load everywhere, settle briefly, and come to an end."""
        self._conductor.stop()

    def abort(self) -> None:
        """End at once."""
        self._conductor.abort()

    async def run(self, gateway: LoadGateway) -> LedRecord:
        """Carry the plan out; what all shards measured and saw.

        Raises:
            ShardsFailed: a shard could not begin.
        """
        run = SystemIds().new()[:8]
        handshake = None if gateway.control is None else gateway.control.handshake
        target = ShardGateway(gateway.url, gateway.auth_url, handshake, gateway.is_bundled)
        parts = [Shard(index, self._count) for index in range(self._count)]
        tasks = [task_of(self._plan, part, target, run) for part in parts]
        async with self._pool.open(tasks) as channels:
            gathered = await self._conductor.lead(channels)
        record = merged(gathered, self._conductor.start_at)
        return LedRecord(record, self._conductor.notes, gathered.defects)

    def _live(self) -> list[ShardStanding]:
        """The last word of the shards that go on, or of all when none does."""
        told = self._standings
        return [told[index] for index in told if index in self._going_on] or list(told.values())

    def _stands(self, index: int, standing: ShardStanding) -> None:
        before = self._standings.get(index)
        self._standings[index] = standing
        add_news(self.figures, standing.news)
        if before is None or (before.phase, before.is_paused) != (standing.phase, standing.is_paused):
            self.on_phase()
        self._untold.discard(index)
        self._tell_tick()

    def _ended(self, index: int) -> None:
        self._going_on.discard(index)
        self._untold.discard(index)
        self.on_phase()
        self._tell_tick()

    def _tell_tick(self) -> None:
        if not self._untold:
            self._untold = set(self._going_on)
            self.on_tick()
