"""How a run stands, as the page and ``/state`` tell it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final

from node.loadtest.driver.run import Phase
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.live.trail import Trail
from node.loadtest.live.watched import WatchedRun
from node.loadtest.plan.faults import end_s
from node.loadtest.plan.model import Plan

WINDOW_S: Final = 10
"""Percentiles that are told as of now are of so many seconds."""

_TOLD: Final = {"poll": Measure.POLL, "result": Measure.RESULT, "job": Measure.JOB}


def plan_document(plan: Plan, gateway: str, run_id: str) -> dict[str, object]:
    """What does not change: the plan in short, times in seconds of the plan."""
    return {
        "run": run_id,
        "name": plan.name,
        "description": plan.description,
        "gateway": gateway,
        "duration_s": plan.duration_s,
        "faults": [
            {"at_s": planned.at_s, "until_s": end_s(planned), "text": str(planned)}
            for planned in sorted(plan.faults, key=lambda one: one.at_s)
        ],
        "thresholds": [str(threshold) for threshold in plan.thresholds],
    }


def is_ended(run: WatchedRun) -> bool:
    """Whether nothing more is measured."""
    return run.standing.phase is Phase.OVER or run.verdict is not None


def state_document(run: WatchedRun, trail: Trail) -> dict[str, object]:
    """Counts are from the beginning, rates a second, times in seconds, ``begun_at`` is Unix time.

    Rates are of the last second, percentiles of the last `WINDOW_S`; both are of the whole load when it is over.
    """
    standing, figures = run.standing, run.figures
    is_over = is_ended(run)
    counts = {"offered": standing.offered, "submitted": standing.submitted, "accepted": standing.accepted}
    means = {name: count / trail.load_s if trail.load_s else 0.0 for name, count in counts.items()}
    return {
        "phase": standing.phase.value,
        "is_paused": standing.is_paused,
        "is_over": is_over,
        "elapsed_s": round(standing.elapsed_s, 3),
        "load_s": round(trail.load_s, 3),
        "begun_at": trail.begun_at,
        "nodes": standing.nodes,
        "planned_nodes": standing.planned_nodes,
        "states": dict(standing.states),
        **counts,
        "rates": {name: round(rate, 3) for name, rate in (means if is_over else trail.rates).items()},
        "p99_s": whole_p99_s(figures) if is_over else recent_p99_s(figures.series),
        "queued": standing.queued,
        "working": standing.working,
        "in_flight": standing.in_flight,
        "outbox": standing.outbox,
        "lag_s": round(standing.lag_s, 6),
        "cpu": round(standing.cpu, 4),
        "errors": sum(count for _, count in figures.errors.most_common()),
        "verdict": None if run.verdict is None else run.verdict.value,
        "outcomes": [{"text": str(one), "state": one.state.value} for one in run.outcomes],
    }


def recent_p99_s(series: Series) -> Mapping[str, float | None]:
    """The 99th percentiles of the last `WINDOW_S`; None where nothing was measured in them."""
    return _p99_s(series, ceil(WINDOW_S / series.resolution_s))


def whole_p99_s(figures: Figures) -> Mapping[str, float | None]:
    """The 99th percentiles of the whole run, to two digits where its histograms are other processes'."""
    found = dict(_p99_s(figures.series, len(figures.series.span)))
    of = {name: figures.histograms[measure] for name, measure in _TOLD.items()}
    return found | {name: histogram.percentiles_s(99)[0] for name, histogram in of.items() if histogram.count}


def _p99_s(series: Series, cells: int) -> Mapping[str, float | None]:
    slices = {name: series.slices(measure)[-cells:] for name, measure in _TOLD.items()}
    return {
        name: Slice.joined([one for one in known if one is not None]).percentile_s(99) for name, known in slices.items()
    }
