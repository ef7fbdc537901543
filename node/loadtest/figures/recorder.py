"""Listens to a fleet under load and keeps its figures.

It is on the hot path of every poll: polls are recorded without a look at the clock, into tallies that `Recorder.tick`
folds into histograms and series once a second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId
from node.domain.states import Session
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.histogram import Tally
from node.loadtest.figures.series import Mark
from node.loadtest.figures.slices import Slice
from node.ports.clock import Clock

MAX_OPEN: Final = 200_000
"""Jobs whose submission or claim is remembered for the times of their later phases; the oldest are given up."""

MAX_EARLY: Final = 20_000
"""Jobs that nodes had before their submission was answered: there are no more than submissions under way."""

CRASHED: Final = "crashed"
"""The state of a node that was ended without goodbye, beside those of `node.domain.states.Life`."""

_REGISTER: Final = "register"
_NONE: Final[Mapping[str, float]] = MappingProxyType({})

K = TypeVar("K")
V = TypeVar("V")


def steady_wall(clock: Clock) -> Callable[[], float]:
    """Unix time in seconds that no step of the machine's clock moves: the loop's time, set by one look at the wall."""
    offset_s = clock.wall() - clock.monotonic()
    return lambda: clock.monotonic() + offset_s


class Recorder:
    """A subscriber of an event bus, and told by the driver what no event says. Times are ``now``'s, Unix seconds.

    ``poll_cycle_s`` is the pace at which a node with nothing to do polls: an empty poll that took longer stands for
    those that it kept from being made (`Tally.record_corrected`); None leaves that out. The figures hold what was
    recorded up to the last `tick`. Phases are known for jobs whose submission and claim were both seen here: over
    several processes the audit's book has all of them.
    """

    def __init__(self, now: Callable[[], float], poll_cycle_s: float | None = None) -> None:
        self.figures = Figures()
        self._now = now
        self._since = now()
        self._cycle_s = poll_cycle_s or float("inf")
        self._tallies = {measure: Tally() for measure in Measure}
        self._counted: defaultdict[str, int] = defaultdict(int)
        self._filled = 0
        self._lives: Counter[str] = Counter()
        self._life: dict[NodeId, str] = {}
        self._late: dict[NodeId, float] = {}
        self._renewing: dict[NodeId, float] = {}
        self._submitted: dict[JobId, float] = {}
        self._early_claims: dict[JobId, float] = {}
        self._early_ends: dict[JobId, float] = {}
        self._holders: dict[JobId, NodeId] = {}
        self._orphans: dict[JobId, float] = {}
        self._kept: dict[JobKey, float] = {}
        self._taken = 0
        self._begun = 0

    @property
    def working(self) -> int:
        """Jobs that are claimed and have no accepted result."""
        return len(self._holders)

    @property
    def queued(self) -> int:
        """Jobs that the gateway has taken and nobody has claimed.

        Of one process among several it is below 0 where its nodes claim what others submit: sums are right.
        """
        return self._taken - self._begun

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {
            ev.PollStarted: self._on_poll_started,
            ev.PollEnded: self._on_poll_ended,
            ev.PollFailed: self._on_poll_failed,
            ev.JobClaimed: self._on_claimed,
            ev.JobSkipped: lambda _: self._count(Count.SKIPPED),
            ev.JobEnded: self._on_ended,
            ev.ResultAccepted: self._on_accepted,
            ev.ResultDelayed: lambda event: self.figures.errors.count("result", event.reason),
            ev.ResultBuried: self._on_buried,
            ev.ResultLost: self._on_lost,
            ev.StepEnded: self._on_step,
            ev.StepRetried: self._on_retried,
            ev.SessionChanged: self._on_session,
            ev.LifeChanged: self._on_life,
        }

    def begin(self) -> None:
        """Figures are of the time from now on: to be called when the ticks begin, however long ago it was made."""
        self._since = self._now()

    def offered(self, jobs: int = 1) -> None:
        """So many jobs were due to be submitted."""
        self._counted[Count.OFFERED] += jobs

    def withheld(self) -> None:
        """A job that was due is not submitted: too many others have no answer yet."""
        self._count(Count.DROPPED)

    def submitted(self, job: JobId, intended_at: float) -> None:
        """The gateway has just taken a job whose submission the plan meant for that time."""
        self._taken += 1
        self._count(Count.SUBMITTED)
        self._tallies[Measure.SUBMIT].record(self._now() - intended_at)
        # Where many nodes poll, one of them often has the job before its submission is answered.
        if (claimed_at := self._early_claims.pop(job, None)) is not None:
            self._tallies[Measure.CLAIM].record(claimed_at - intended_at)
        if (ended_at := self._early_ends.pop(job, None)) is not None:
            self._tallies[Measure.JOB].record(ended_at - intended_at)
        else:
            _remember(self._submitted, job, intended_at, MAX_OPEN)

    def submit_failed(self, reason: str, intended_at: float) -> None:
        """A submission that the plan meant for that time has just failed."""
        self._count(Count.SUBMIT_FAILED)
        self._tallies[Measure.FAILED_SUBMIT].record(self._now() - intended_at)
        self.figures.errors.count("submit", reason)

    def crashed(self, nodes: Collection[NodeId]) -> None:
        """These nodes have just been ended without goodbye."""
        gone, now = set(nodes), self._now()
        for node in nodes:
            self._count(Count.CRASHED)
            self._set_life(node, CRASHED)
            self._late.pop(node, None)
            self._renewing.pop(node, None)
        self._orphans |= {job: now for job, node in self._holders.items() if node in gone}
        self._kept = {key: at for key, at in self._kept.items() if key.node not in gone}

    def mark(self, text: str) -> None:
        """Something to show on the time axis happens now."""
        self.figures.series.mark(Mark(self._now(), text))

    def tick(self, gauges: Mapping[str, float] = _NONE, maxima: Mapping[str, float] = _NONE) -> None:
        """Fold what was recorded since the last tick into the figures.

        ``gauges`` are levels as of now, ``maxima`` the highest that was found since the last tick.

        To be called once a second, and at the end. It takes about a millisecond for a thousand different values.
        """
        now = self._now()
        at, self._since = (self._since + now) / 2, now
        series = self.figures.series
        for measure, tally in self._tallies.items():
            if tally.counts:
                taken = self.figures.histograms[measure].take(tally)
                series.latencies(measure, at, Slice.of(taken))
                times = sum(taken.values()) - (self._filled if measure is Measure.EMPTY_POLL else 0)
                self._add(measure, at, times)
        self._filled = 0
        for name, times in self._counted.items():
            self._add(name, at, times)
        self._counted.clear()
        for state, nodes in self._lives.items():
            series.gauge(f"nodes.{state}", at, nodes)
        for name, level in gauges.items():
            series.gauge(name, at, level)
        for name, highest in maxima.items():
            series.maximum(name, at, highest)

    def _add(self, name: str, at: float, times: int) -> None:
        self.figures.counts[name] += times
        self.figures.series.count(name, at, times)

    def _count(self, name: Count) -> None:
        self._counted[name] += 1

    def _on_poll_started(self, event: ev.PollStarted) -> None:
        node, lateness_s = event
        self._tallies[Measure.LATENESS].record(lateness_s)
        self._late[node] = lateness_s

    def _on_poll_ended(self, event: ev.PollEnded) -> None:
        node, took_s, job = event
        took_s += self._late.pop(node, 0.0)
        if job is not None:
            self._tallies[Measure.POLL].record(took_s)
        elif took_s < self._cycle_s:
            self._tallies[Measure.EMPTY_POLL].record(took_s)
        else:
            self._filled += self._tallies[Measure.EMPTY_POLL].record_corrected(took_s, self._cycle_s)

    def _on_poll_failed(self, event: ev.PollFailed) -> None:
        self._tallies[Measure.FAILED_POLL].record(event.took_s + self._late.pop(event.node, 0.0))
        self._count(Count.POLL_FAILED)
        self.figures.errors.count("poll", event.reason)

    def _on_claimed(self, event: ev.JobClaimed) -> None:
        job, now = event.key.job, self._now()
        self._count(Count.CLAIMED)
        crashed_at = self._orphans.pop(job, None) if self._orphans else None
        if crashed_at is not None:
            self._tallies[Measure.REDELIVERY].record(now - crashed_at)
        if job not in self._holders:
            self._begun += 1
            if (intended_at := self._submitted.get(job)) is not None:
                self._tallies[Measure.CLAIM].record(now - intended_at)
            elif job not in self._early_claims:
                _remember(self._early_claims, job, now, MAX_EARLY)
        _remember(self._holders, job, event.key.node, MAX_OPEN)

    def _on_ended(self, event: ev.JobEnded) -> None:
        self._count(Count.EXECUTED)
        _remember(self._kept, event.key, self._now(), MAX_OPEN)
        if event.error:
            self._count(Count.FAILED)
            self.figures.errors.count("job", event.error)

    def _on_accepted(self, event: ev.ResultAccepted) -> None:
        job, now = event.key.job, self._now()
        self._count(Count.ALREADY if event.already else Count.ACCEPTED)
        self._tallies[Measure.WORK].record(event.took_s)
        if (kept_at := self._kept.pop(event.key, None)) is not None:
            self._tallies[Measure.RESULT].record(now - kept_at)
        if (intended_at := self._submitted.pop(job, None)) is not None:
            self._tallies[Measure.JOB].record(now - intended_at)
        elif job in self._early_claims and job not in self._early_ends:
            _remember(self._early_ends, job, now, MAX_EARLY)
        self._forget(job)

    def _on_buried(self, event: ev.ResultBuried) -> None:
        self._count(Count.BURIED)
        self.figures.errors.count("result", event.reason)
        self._kept.pop(event.key, None)

    def _on_lost(self, event: ev.ResultLost) -> None:
        self._count(Count.UNKEPT)
        self.figures.errors.count("job", event.reason)

    def _forget(self, job: JobId) -> None:
        self._holders.pop(job, None)
        self._orphans.pop(job, None)

    def _on_step(self, event: ev.StepEnded) -> None:
        if event.error:
            self.figures.errors.count(event.step, event.error)
        elif event.step == _REGISTER:
            self._tallies[Measure.REGISTER].record(event.took_s)

    def _on_retried(self, event: ev.StepRetried) -> None:
        self._count(Count.RETRIED)
        self.figures.errors.count(event.step, event.reason)

    def _on_session(self, event: ev.SessionChanged) -> None:
        if event.state is Session.EXPIRING or event.state is Session.REJECTED:
            self._renewing.setdefault(event.node, self._now())
            return
        began_at = self._renewing.pop(event.node, None)
        if began_at is not None and event.state is Session.VALID:
            self._tallies[Measure.RENEWAL].record(self._now() - began_at)

    def _on_life(self, event: ev.LifeChanged) -> None:
        self._set_life(event.node, event.after.value)
        self._late.pop(event.node, None)

    def _set_life(self, node: NodeId, state: str) -> None:
        before = self._life.get(node)
        if before is not None:
            self._lives[before] -= 1
        self._life[node] = state
        self._lives[state] += 1


def _remember(kept: dict[K, V], key: K, value: V, most: int) -> None:
    if len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
