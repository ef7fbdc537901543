"""Figures by the names that thresholds have for them. What was not measured is None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def audited(report: AuditReport) -> dict[str, float | None]:
    """All counts of an audit; None where it could not tell.

    ``jobs.unknown`` is left to those who know how many jobs the audit was to judge.
    """
    totals: dict[str, float | None] = {f"jobs.{name}": getattr(report.jobs, name) for name in TOTALS}
    return totals | {f"jobs.{kind.label}": report.count(kind) for kind in Kind}


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
