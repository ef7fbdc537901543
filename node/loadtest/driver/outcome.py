"""The result of a load test: everything that its reports are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from node.loadtest.audit.report import AuditReport
from node.loadtest.audit.views import JobView
from node.loadtest.driver.judged import Stretch
from node.loadtest.driver.run import Times
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.figures.health import Health, HealthVerdict
from node.loadtest.figures.histogram import Histogram
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.threshold import Outcome

SCHEMA: Final = 1
"""The version of the document: it rises when a key goes or changes its meaning."""

_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True, eq=False)
class LoadOutcome:
    """A load test that has ended.

    ``histograms`` are of the time that is judged, ``stretch``, and ``values`` what thresholds can name over it.
    ``bugs`` were planted into the sandbox; ``notes`` are sentences that whoever reads the figures should know;
    ``defects`` those of this program. ``accused`` is what the book has on the jobs that the report names, and
    ``environment`` says what program it was, and on what machine.
    """

    plan: Plan
    gateway: str
    verdict: Verdict
    times: Times
    outcomes: tuple[Outcome, ...]
    report: AuditReport
    health: HealthVerdict
    stretch: Stretch
    histograms: Mapping[Measure, Histogram]
    values: Mapping[str, float | None]
    figures: Figures
    own_health: Health
    bugs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    accused: tuple[JobView, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    comparison: Mapping[str, Any] | None = None
    """What a comparison with other runs came to, as their document; None without one."""

    def to_document(self) -> dict[str, Any]:
        """All of it for JSON; times are Unix seconds, latencies seconds, what is unknown is null."""
        return {
            "schema": SCHEMA,
            "plan": self.plan.model_dump(mode="json"),
            "gateway": self.gateway,
            "verdict": self.verdict.value,
            "environment": dict(self.environment),
            "begun_at": self.times.begun_at,
            "load_ended_at": self.times.load_ended_at,
            "settled_at": self.times.settled_at,
            "thresholds": [
                {
                    "threshold": str(outcome.threshold),
                    "state": outcome.state.value,
                    "left": outcome.left,
                    "right": outcome.right,
                    "why": outcome.why,
                }
                for outcome in self.outcomes
            ],
            "judged": {
                "seconds": self.values.get("duration"),
                "rule": self.stretch.rule,
                "is_steady": self.stretch.is_steady,
                "values": dict(self.values),
                "latencies": {measure.value: _latency(found) for measure, found in self.histograms.items()},
            },
            "audit": self.report.to_document(),
            "generator": {
                "is_void": self.health.is_void,
                "reasons": list(self.health.reasons),
                "found": dict(self.health.found),
                "defects": list(self.defects),
            },
            "comparison": None if self.comparison is None else dict(self.comparison),
            "sandbox_bugs": list(self.bugs),
            "notes": list(self.notes),
            "figures": self.figures.to_document(),
            "health": self.own_health.to_document(),
        }


def _latency(histogram: Histogram) -> dict[str, float | int] | None:
    if not histogram.count:
        return None
    found = zip(_PERCENTS, histogram.percentiles_s(*_PERCENTS), strict=True)
    return {
        "count": histogram.count,
        "mean": histogram.mean_s,
        **{f"p{percent:g}": seconds for percent, seconds in found},
        "max": histogram.max_s,
    }
