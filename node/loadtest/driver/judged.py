"""What a run's figures are by the names of thresholds, over the time that is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from types import MappingProxyType
from typing import Final

from node.loadtest.audit.book import Book
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.phases import JobPhases
from node.loadtest.audit.report import AuditReport
from node.loadtest.audit.views import JobView
from node.loadtest.driver.run import Times
from node.loadtest.figures.buckets import COARSE, FINE, HIGHEST_US
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.histogram import Histogram, Tally
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.figures.steady import Window, find_window
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.measured import audited, times
from node.loadtest.thresholds.threshold import Outcome, State, Threshold
from node.loadtest.thresholds.vocabulary import MEASURES, STEPS

_RATES: Final = {
    "offered": (Count.OFFERED,),
    "submitted_rate": (Count.SUBMITTED,),
    "claimed_rate": (Count.CLAIMED,),
    "accepted_rate": (Count.ACCEPTED,),
    "poll_rate": (Measure.POLL, Measure.EMPTY_POLL),
}
"""What is counted for each rate."""

_AT_ONCE: Final = 250
"""Jobs that are judged between two turns of the event loop: some 5 ms."""

_FAILED: Final = {"poll": Measure.FAILED_POLL, "submit": Measure.FAILED_SUBMIT}
"""The times of a step's failures: none took any time where all requests succeeded."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The cells ``start`` up to, not including, ``end`` of the series, and how they were found.

    The load lasted for ``seconds`` of them: less than all, where it began or ended in the middle of one.
    """

    start: int
    end: int
    rule: str
    is_steady: bool = True
    seconds: float = 0.0

    def of(self, row: Sequence[float]) -> float:
        """The mean of a row over them."""
        cells = row[self.start : self.end]
        return sum(cells) / len(cells) if cells else 0.0


def judged_stretch(figures: Figures, plan: Plan, run: Times) -> Stretch:
    """The load without its warm-up: as long as the plan says, or found by rule where it says so."""
    series = figures.series
    span, step = series.span, series.resolution_s
    if not span:
        return Stretch(0, 0, "nothing was measured")
    warm_s = plan.warm_up_s or 0.0
    # Whole seconds alone: what a run begins and ends in the middle of has less of everything. Where all is judged,
    # nothing is left out.
    first, last = ceil if warm_s else floor, ceil if plan.warm_up_s == 0 else floor
    start = max(0, first((run.begun_at + warm_s - span.start) / step))
    end = max(start + 1, min(len(span), last((run.load_ended_at - span.start) / step)))

    if plan.warm_up_s == 0:
        return Stretch(start, end, "all of the load is judged", seconds=run.load_ended_at - run.begun_at)
    window = Window(start, end, is_steady=True, rule=f"the first {warm_s:g} s are left out, as the plan says")
    if plan.warm_up_s is None:
        rows = {"submitted jobs": series.rates(Count.SUBMITTED), "accepted results": series.rates(Count.ACCEPTED)}
        window = find_window(rows, start, end)
    begins, ends = span.start + window.start * step, span.start + window.end * step
    seconds = max(0.0, min(ends, run.load_ended_at) - max(begins, run.begun_at))
    return Stretch(window.start, window.end, window.rule, window.is_steady, seconds)


def judged_phases(figures: Figures, book: Book, stretch: Stretch, run: Times, *, is_whole: bool) -> JobPhases:
    """What is to time the phases of the jobs that were due in a stretch; it is to be given all jobs of the book."""
    if is_whole or not figures.series.span:
        return JobPhases(book.presences, at=run.settled_at)
    first, step = figures.series.span.start, figures.series.resolution_s
    start, end = first + stretch.start * step, first + stretch.end * step
    return JobPhases(book.presences, start, end, run.settled_at)


def judged_histograms(
    figures: Figures, phases: dict[Measure, Histogram], stretch: Stretch, *, is_whole: bool
) -> dict[Measure, Histogram]:
    """All times that are judged: those of the whole run, and ``phases`` (`judged_phases`), to 3 digits, others to 2.

    Of a part of a run these are the times that were over in it, and those that were under way at its end.
    """
    if is_whole:
        return figures.histograms | phases
    series = figures.series
    timed = (measure for measure in Measure if measure not in phases)
    return {measure: _over(series.slices(measure), stretch, series.resolution_s) for measure in timed} | phases


async def take_in_turns(book: Book, *takers: Callable[[JobView], object]) -> None:
    """Give every job to each of ``takers``; others have their turns meanwhile, and must leave the book as it is."""
    for number, job in enumerate(book, 1):
        for take in takers:
            take(job)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


def load_lateness(figures: Figures, run: Times) -> Histogram:
    """How late polls began while the load lasted: a long wait for open jobs afterwards has many that are not."""
    span, step = figures.series.span, figures.series.resolution_s
    if not span:
        return Histogram()
    start = max(0, floor((run.begun_at - span.start) / step))
    end = max(start, ceil((run.load_ended_at - span.start) / step))
    return _over(figures.series.slices(Measure.LATENESS), Stretch(start, end, "the load"), step)


def _over(slices: Sequence[Slice | None], stretch: Stretch, cell_s: float) -> Histogram:
    """The times that ended in a stretch, and of later ones those so long that they began before its end."""
    tally, histogram = Tally(), Histogram()
    later = enumerate(slices[stretch.end :], 1)
    begun = [_of_at_least(cells * cell_s, one) for cells, one in later if one is not None]
    joined = Slice.joined([*(one for one in slices[stretch.start : stretch.end] if one is not None), *begun])
    for bucket, count in joined.counts().items():
        tally.counts[FINE.index(min(int(COARSE.middle(bucket)), HIGHEST_US))] += count
    histogram.take(tally)
    return histogram


def _of_at_least(seconds: float, one: Slice) -> Slice:
    return Slice({bucket: count for bucket, count in one.counts().items() if COARSE.middle(bucket) >= seconds * 1e6})


def figures_by_name(
    plan: Plan,
    figures: Figures,
    histograms: Mapping[Measure, Histogram],
    report: AuditReport,
    stretch: Stretch,
    lease_s: float | None,
) -> dict[str, float | None]:
    """All figures that the plan's thresholds can name. Shares of errors are of the whole run, be it warm or not."""
    series = figures.series
    looked_up = report.of(Kind.LOST)
    rates = {name: sum(_rate(series, of, stretch) for of in kinds) for name, kinds in _RATES.items()}
    polls = figures.counts[Measure.POLL] + figures.counts[Measure.EMPTY_POLL]
    timed = times(plan.thresholds, histograms)
    for step, measure in _FAILED.items():
        if tries(figures, step) and not histograms[measure].count:
            timed |= {name: 0.0 for name in timed if MEASURES[name.rpartition(".")[2]] is measure}
    return {
        **timed,
        **audited(report),
        **rates,
        "jobs.dropped": figures.counts[Count.DROPPED],
        "jobs.unknown": max(0, report.jobs.submitted - (0 if looked_up.count is None else looked_up.judged)),
        **{f"errors.{step}": _share(errors(figures, step), tries(figures, step)) for step in STEPS},
        "empty_polls": _share(figures.counts[Measure.EMPTY_POLL], polls),
        "lease": lease_s,
        "duration": stretch.seconds,
    }


def errors(figures: Figures, step: str) -> int:
    """How many requests of a step failed."""
    counts = figures.counts
    match step:
        case "poll":
            return counts[Count.POLL_FAILED]
        case "submit":
            return counts[Count.SUBMIT_FAILED]
        case _:
            return sum(times for name, times in figures.errors.most_common() if name.startswith(f"{step}: "))


def tries(figures: Figures, step: str) -> int:
    """How many requests of a step came to an end."""
    counts, failed = figures.counts, errors(figures, step)
    match step:
        case "poll":
            return counts[Measure.POLL] + counts[Measure.EMPTY_POLL] + failed
        case "submit":
            return counts[Count.SUBMITTED] + failed
        case "result":
            return counts[Count.ACCEPTED] + counts[Count.ALREADY] + failed
        case _:
            return counts[Measure.REGISTER] + failed


def evaluated(
    plan: Plan, values: Mapping[str, float | None], doubts: Mapping[str, str] = MappingProxyType({})
) -> tuple[Outcome, ...]:
    """What came of each threshold, in the plan's order.

    One that only a figure of ``doubts`` meets is unknown, for the reason given there: see `unsure`.
    """
    return tuple(_evaluated(threshold, values, doubts) for threshold in plan.thresholds)


def _evaluated(threshold: Threshold, values: Mapping[str, float | None], doubts: Mapping[str, str]) -> Outcome:
    outcome = threshold.evaluate(values)
    reasons = [doubts[name] for name in threshold.names if name in doubts]
    if outcome.state is State.PASSED and reasons:
        return Outcome(threshold, State.UNKNOWN, why=" and ".join(reasons))
    return outcome


def _rate(series: Series, name: str, stretch: Stretch) -> float:
    counted = sum(series.rates(name)[stretch.start : stretch.end]) * series.resolution_s
    return counted / stretch.seconds if stretch.seconds else 0.0


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
