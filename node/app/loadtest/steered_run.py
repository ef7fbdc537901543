"""A load test as those see it who show it, and as those steer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from node.loadtest.driver.muster import Count as MusterCount
from node.loadtest.driver.run import Phase
from node.loadtest.driver.self_watch import CPU, LAG
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Figures
from node.loadtest.live.watched import Standing
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scenario import Schedule
from node.loadtest.thresholds.threshold import Outcome
from node.ports.events import EventSink
from node.runtime.signals import Signal
from node.runtime.tasks import crash


class Mustered(Protocol):
    """See `node.loadtest.driver.muster.Muster`."""

    def count(self) -> MusterCount:
        """See `Muster.count`."""
        ...


class Steerable(Protocol):
    """A run of this process, `node.loadtest.driver.run.LoadRun`, or one over several; members are as described there."""

    on_tick: Callable[[], object]
    on_phase: Callable[[], object]

    @property
    def schedule(self) -> Schedule:
        """The plan."""
        ...

    @property
    def phase(self) -> Phase:
        """See `LoadRun.phase`."""
        ...

    @property
    def is_paused(self) -> bool:
        """See `LoadRun.is_paused`."""
        ...

    @property
    def elapsed_s(self) -> float:
        """See `LoadRun.elapsed_s`."""
        ...

    @property
    def figures(self) -> Figures:
        """See `LoadRun.figures`."""
        ...

    @property
    def levels(self) -> Mapping[str, float]:
        """See `LoadRun.levels`."""
        ...

    @property
    def muster(self) -> Mustered:
        """See `LoadRun.muster`."""
        ...

    def pause(self) -> None:
        """See `LoadRun.pause`."""
        ...

    def resume(self) -> None:
        """See `LoadRun.resume`."""
        ...

    def stop(self) -> None:
        """See `LoadRun.stop`."""
        ...

    def abort(self) -> None:
        """See `LoadRun.abort`."""
        ...


class SteeredRun:
    """Implements `node.loadtest.live.watched.WatchedRun`.

    With ``waits`` it is not to be begun before `start`: its owner awaits `ordered`. Whoever listens and raises is not
    told any more, and ``events`` of the defect.
    """

    def __init__(self, run: Steerable, gateway: str, events: EventSink, *, waits: bool = False) -> None:
        self._run = run
        self._gateway = gateway
        self._events = events
        self._ordered = Signal()
        self._verdict: Verdict | None = None
        self._outcomes: Sequence[Outcome] = ()
        self._hearers: dict[int, Callable[[], object]] = {}
        self._heard = 0
        self._standing: Standing | None = None
        run.on_tick = run.on_phase = self._tell
        if not waits:
            self._ordered.set()

    @property
    def plan(self) -> Plan:
        """See `WatchedRun.plan`."""
        return self._run.schedule.plan

    @property
    def gateway(self) -> str:
        """See `WatchedRun.gateway`."""
        return self._gateway

    @property
    def standing(self) -> Standing:
        """See `WatchedRun.standing`: made once a tick, in some 0.2 ms, however many nodes there are."""
        if self._standing is None:
            self._standing = self._found()
        return self._standing

    @property
    def figures(self) -> Figures:
        """See `WatchedRun.figures`."""
        return self._run.figures

    @property
    def verdict(self) -> Verdict | None:
        """See `WatchedRun.verdict`."""
        return self._verdict

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """See `WatchedRun.outcomes`."""
        return self._outcomes

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        """See `WatchedRun.on_tick`."""
        number = self._heard
        self._heard += 1
        self._hearers[number] = hear
        return lambda: _drop(self._hearers, number)

    def start(self) -> None:
        """See `WatchedRun.start`."""
        self._ordered.set()

    def pause(self) -> None:
        """See `WatchedRun.pause`: while the load lasts; at other times it does nothing."""
        self._run.pause()

    def resume(self) -> None:
        """See `WatchedRun.resume`."""
        self._run.resume()

    def stop(self) -> None:
        """See `WatchedRun.stop`. What waits for the order to start begins by it, and is over at once."""
        self._run.stop()
        self._ordered.set()

    def abort(self) -> None:
        """End at once, without settling."""
        self._run.abort()
        self._ordered.set()

    async def ordered(self) -> None:
        """Wait until it may begin."""
        await self._ordered.wait()

    def judged(self, verdict: Verdict, outcomes: Sequence[Outcome]) -> None:
        """This is what it came to."""
        self._verdict, self._outcomes = verdict, outcomes
        self._tell()

    def _found(self) -> Standing:
        run, counts = self._run, self._run.figures.counts
        levels, mustered = run.levels, run.muster.count()
        return Standing(
            phase=run.phase,
            is_paused=run.is_paused,
            elapsed_s=run.elapsed_s,
            duration_s=self.plan.duration_s,
            nodes=mustered.running,
            planned_nodes=run.schedule.target(max(0.0, run.elapsed_s)),
            states=mustered.states,
            offered=counts[Count.OFFERED],
            submitted=counts[Count.SUBMITTED],
            accepted=counts[Count.ACCEPTED],
            queued=max(0, round(levels.get("queued", 0))),
            working=round(levels.get("working", 0)),
            in_flight=round(levels.get("in_flight", 0)),
            outbox=round(levels.get("outbox", 0)),
            lag_s=levels.get(LAG, 0.0),
            cpu=levels.get(CPU, 0.0),
        )

    def _tell(self) -> None:
        self._standing = None
        for number, hear in list(self._hearers.items()):
            try:
                hear()
            except Exception as error:  # noqa: BLE001 - a defect of a display ends here, so that the run goes on
                _drop(self._hearers, number)
                self._events.emit(crash("a display of the load test", error))


def _drop(hearers: dict[int, Callable[[], object]], number: int) -> None:
    hearers.pop(number, None)
