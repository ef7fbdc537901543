"""Figures by the names that thresholds have for them. What was not measured is None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditReport
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.histogram import Histogram
from node.loadtest.thresholds.threshold import Threshold
from node.loadtest.thresholds.vocabulary import MEASURES, TOTALS, percentile_of


def times(thresholds: Iterable[Threshold], histograms: Mapping[Measure, Histogram]) -> dict[str, float | None]:
    """The times in seconds that these thresholds name; None where nothing was timed."""
    names = {name: name.rpartition(".")[2] for threshold in thresholds for name in threshold.names}
    return {name: _time(name, histograms.get(MEASURES[of])) for name, of in names.items() if of in MEASURES}


def unsure(
    thresholds: Iterable[Threshold], histograms: Mapping[Measure, Histogram], still_open: Mapping[Measure, int]
) -> dict[str, str]:
    """Of the times that these thresholds name those that may be longer than they read, each with the reason.

    ``still_open`` is how many values of a histogram are of what was not over, and so lower bounds.
    """
    reasons = {}
    for name in dict.fromkeys(name for threshold in thresholds for name in threshold.names):
        measure = MEASURES.get(name.rpartition(".")[2])
        many = still_open.get(measure, 0) if measure is not None else 0
        if measure is not None and many and _rank(name, histograms[measure].count) > histograms[measure].count - many:
            reasons[name] = f"{name} is not known, since {many} were not over at the end"
    return reasons


def audited(report: AuditReport) -> dict[str, float | None]:
    """All counts of an audit; None where it could not tell.

    ``jobs.unknown`` is left to those who know how many jobs the audit was to judge.
    """
    totals: dict[str, float | None] = {f"jobs.{name}": getattr(report.jobs, name) for name in TOTALS}
    return totals | {f"jobs.{kind.label}": report.count(kind) for kind in Kind}


_PERCENTS: Final = {"min": 0.0, "mean": 100.0, "max": 100.0}


def _rank(name: str, count: int) -> int:
    """The place of a statistic among so many rising values; a mean hangs on the last one, too."""
    found = percentile_of(name)
    percent = found[0] if found else _PERCENTS[name.partition(".")[0]]
    return max(1, ceil(percent * count / 100 - 1e-9))


def _time(name: str, histogram: Histogram | None) -> float | None:
    if histogram is None or not histogram.count:
        return None
    percentile = percentile_of(name)
    if percentile is not None:
        return histogram.percentiles_s(percentile[0])[0]
    match name.partition(".")[0]:
        case "mean":
            return histogram.mean_s
        case "max":
            return histogram.max_s
        case _:
            return histogram.percentiles_s(0.0)[0]
