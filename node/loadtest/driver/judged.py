"""What a run's figures are by the names of thresholds, over the time that is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from node.loadtest.audit.book import Book
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.phases import job_phases
from node.loadtest.audit.report import AuditReport
from node.loadtest.driver.run import Times
from node.loadtest.figures.buckets import COARSE, FINE, HIGHEST_US
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.histogram import Histogram, Tally
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.figures.steady import Window, find_window
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.measured import audited, times
from node.loadtest.thresholds.threshold import Outcome
from node.loadtest.thresholds.vocabulary import STEPS

_RATES: Final = {
    "offered": (Count.OFFERED,),
    "submitted_rate": (Count.SUBMITTED,),
    "claimed_rate": (Count.CLAIMED,),
    "accepted_rate": (Count.ACCEPTED,),
    "poll_rate": (Measure.POLL, Measure.EMPTY_POLL),
}
"""What is counted for each rate."""


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


def judged_histograms(figures: Figures, book: Book, stretch: Stretch, *, is_whole: bool) -> dict[Measure, Histogram]:
    """The times over a stretch; those of the whole run to 3 digits, of a part of it to 2."""
    if is_whole:
        return figures.histograms | job_phases(book)
    return {measure: _over(figures.series.slices(measure), stretch) for measure in Measure}


def load_lateness(figures: Figures, run: Times) -> Histogram:
    """How late polls began while the load lasted: a long wait for open jobs afterwards has many that are not."""
    span, step = figures.series.span, figures.series.resolution_s
    if not span:
        return Histogram()
    start = max(0, floor((run.begun_at - span.start) / step))
    end = max(start, ceil((run.load_ended_at - span.start) / step))
    return _over(figures.series.slices(Measure.LATENESS), Stretch(start, end, "the load"))


def _over(slices: Sequence[Slice | None], stretch: Stretch) -> Histogram:
    tally, histogram = Tally(), Histogram()
    joined = Slice.joined([one for one in slices[stretch.start : stretch.end] if one is not None])
    for bucket, count in joined.counts().items():
        tally.counts[FINE.index(min(int(COARSE.middle(bucket)), HIGHEST_US))] += count
    histogram.take(tally)
    return histogram


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
    return {
        **times(plan.thresholds, histograms),
        **audited(report),
        **rates,
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


def evaluated(plan: Plan, values: Mapping[str, float | None]) -> tuple[Outcome, ...]:
    """What came of each threshold, in the plan's order."""
    return tuple(threshold.evaluate(values) for threshold in plan.thresholds)


def _rate(series: Series, name: str, stretch: Stretch) -> float:
    counted = sum(series.rates(name)[stretch.start : stretch.end]) * series.resolution_s
    return counted / stretch.seconds if stretch.seconds else 0.0


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
