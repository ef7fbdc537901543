"""A candidate against a baseline: better, worse or the same, with an interval for each metric.

Seconds of one run resemble their neighbours, so that they must not be taken for independent. The steady state is cut
into `BATCHES` batches, whose means are nearly so (B. Schmeiser, "Batch size effects in the analysis of simulation
output", Operations Research 30, 1982: 10 to 30 batches); what correlation of neighbours is left widens the interval as
in a first-order autoregressive process. Two runs are compared by B. L. Welch's interval for unequal variances
(Biometrika 34, 1947), as a change relative to the baseline. Several runs of a side also show how runs differ among
themselves, those of the other side too, and the wider of the two errors counts. The chance of any false alarm is shared out among the metrics
(Bonferroni), and a change that is sure but below a metric's ``margin`` is called the same: two runs of the same
program on a shared machine differ by some per cent that no second of either shows. A request waits for the generator's event loop twice, to be
sent and for its answer to be read: a time that changes by less than the loop is late twice has not been seen to change
at all. Of each statistic the same one of `Measure.LATENESS` tells how late that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import inf, sqrt
from statistics import fmean, variance
from typing import Final, Literal

from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.series import Series
from node.loadtest.figures.steady import Window
from node.loadtest.figures.student import two_sided_t

BATCHES: Final = 20
LEAST_VALUES: Final = 10
"""Seconds of steady state below which nothing is compared."""

_MOST_CORRELATION: Final = 0.9
_WAITS: Final = 2

Run = Mapping[str, Sequence[float]]
"""One run: for each metric its values by second, in steady state; see `samples`."""

_STATISTICS: Final = ("mean", "p50", "p90", "p99")


class Answer(Enum):
    """What a comparison comes to."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = "unknown"
    """One side has too few values."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared: a statistic of a latency, or the rate of a count. ``margin`` is the least change that matters."""

    statistic: Literal["mean", "p50", "p90", "p99", "rate"]
    of: Measure | Count
    margin: float = 0.05

    @property
    def name(self) -> str:
        """As in thresholds: ``p99.poll``."""
        return f"{self.statistic}.{self.of.value}"

    @property
    def is_better_lower(self) -> bool:
        """Whether less is better: of times, and of what is counted when it fails."""
        good = {Count.SUBMITTED, Count.CLAIMED, Count.EXECUTED, Count.ACCEPTED}
        return self.statistic != "rate" or not (isinstance(self.of, Measure) or self.of in good)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric: both means, and the relative change with its interval (0.1: 10 % more), None where unknown.

    ``is_sharp`` says that the interval is narrower than the margin to either side: a "same" of one that is not means
    only that the runs were too short or too noisy to tell.
    """

    metric: str
    answer: Answer
    baseline: float | None = None
    candidate: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    is_sharp: bool = False


@dataclass(frozen=True, slots=True)
class _Estimate:
    mean: float
    error2: float
    freedom: float


def samples(series: Series, window: Window, metrics: Iterable[Metric]) -> dict[str, list[float]]:
    """A `Run` of what a recorder kept."""
    rows: dict[str, list[float]] = {}
    for metric in metrics:
        match metric.statistic:
            case "rate":
                row: Sequence[float | None] = series.rates(metric.of)
            case "mean":
                row = series.means(metric.of)
            case _:
                row = series.percentiles(metric.of, float(metric.statistic[1:]))
        rows[metric.name] = window.of(row)
    return rows


def floors(series: Series, window: Window) -> dict[str, float]:
    """By statistic the seconds that the generator itself may have added in a run: less than that it cannot tell."""
    latenesses = [Metric(statistic, Measure.LATENESS) for statistic in _STATISTICS]
    rows = samples(series, window, latenesses)
    return {metric.statistic: _WAITS * fmean(row) for metric in latenesses if (row := rows[metric.name])}


def compare(
    baseline: Sequence[Run],
    candidate: Sequence[Run],
    metrics: Sequence[Metric],
    confidence: float = 0.99,
    floor: Mapping[str, float] | None = None,
) -> tuple[Comparison, ...]:
    """Compare one or more runs a side.

    ``confidence`` is the chance that no metric of equal sides is called different, ``floor`` for each statistic of a
    time the seconds below which a change is none; see `floors`.
    """
    level = (1 - confidence) / max(1, len(metrics))
    return tuple(
        _compared(
            metric,
            *_sides([[run.get(metric.name, ()) for run in side] for side in (baseline, candidate)]),
            level=level,
            floor=(floor or {}).get(metric.statistic, 0.0) if isinstance(metric.of, Measure) else 0.0,
        )
        for metric in metrics
    )


def overall(comparisons: Iterable[Comparison]) -> Answer:
    """Worse if any metric is, else better if any is, else the same; unknown where nothing could be compared."""
    answers = {comparison.answer for comparison in comparisons}
    return next((answer for answer in (Answer.WORSE, Answer.BETTER, Answer.SAME) if answer in answers), Answer.UNKNOWN)


def _compared(
    metric: Metric, base: _Estimate | None, new: _Estimate | None, *, level: float, floor: float
) -> Comparison:
    if base is None or new is None or not base.mean:
        return Comparison(
            metric.name,
            Answer.UNKNOWN,
            baseline=None if base is None else base.mean,
            candidate=None if new is None else new.mean,
        )
    error2 = base.error2 + new.error2
    spread = base.error2**2 / base.freedom + new.error2**2 / new.freedom
    half = two_sided_t(level, error2**2 / spread if spread else inf) * sqrt(error2) if error2 else 0.0
    scale = abs(base.mean)
    change, half = (new.mean - base.mean) / scale, half / scale
    if abs(change) < metric.margin or abs(change) <= half or abs(new.mean - base.mean) < floor:
        answer = Answer.SAME
    else:
        answer = Answer.BETTER if (change < 0) == metric.is_better_lower else Answer.WORSE
    return Comparison(
        metric.name, answer, base.mean, new.mean, change, change - half, change + half, is_sharp=half <= metric.margin
    )


def _sides(sides: Sequence[Sequence[Sequence[float]]]) -> list[_Estimate | None]:
    """The mean of each side's runs and its squared error: from within the runs, or from how runs differ if that is more.

    How they differ is taken to be the same on either side, so that one side's repetitions tell of the other's run, too.
    """
    runs = [[_estimate(row) for row in rows if len(row) >= LEAST_VALUES] for rows in sides]
    repeated = [[run.mean for run in side] for side in runs if len(side) > 1]
    freedom = sum(len(means) - 1 for means in repeated)
    between = sum(variance(means) * (len(means) - 1) for means in repeated) / freedom if freedom else 0.0
    return [_side(side, between, freedom) for side in runs]


def _side(runs: Sequence[_Estimate], between: float, freedom: int) -> _Estimate | None:
    if not runs:
        return None
    count = len(runs)
    mean = fmean(run.mean for run in runs)
    within = sum(run.error2 for run in runs) / count**2
    if between / count > within:
        return _Estimate(mean, between / count, freedom)
    return _Estimate(mean, within, sum(run.freedom for run in runs))


def _estimate(row: Sequence[float]) -> _Estimate:
    size = max(1, len(row) // BATCHES)
    # What does not fill a batch is left out at the beginning, the part nearest to the warm-up.
    means = [fmean(row[at : at + size]) for at in range(len(row) % size, len(row), size)]
    count, mean = len(means), fmean(means)
    spread = variance(means)
    if not spread:
        return _Estimate(mean, 0.0, count - 1)
    covariance = sum((one - mean) * (two - mean) for one, two in pairwise(means)) / count
    # The estimate of a correlation is too low by about (1 + 3 r) / n (M. G. Kendall, Biometrika 41, 1954).
    seen = covariance / (spread * (count - 1) / count)
    correlation = min(max(0.0, seen + (1 + 3 * max(0.0, seen)) / count), _MOST_CORRELATION)
    widening = (1 + correlation) / (1 - correlation)
    return _Estimate(mean, spread / count * widening, max(1.0, (count - 1) / widening))
