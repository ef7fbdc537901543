"""A run's figures for Prometheus, to be scraped while it lasts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.live.watched import Standing, WatchedRun
from node.loadtest.report.exposition import exposed, gauge, gauges, info, measured


def exposition(run: WatchedRun) -> bytes:
    """Everything as of the last second, in Prometheus' text format; times are since the run's beginning.

    It takes ten to thirty milliseconds of the event loop's time where all histograms are full.
    """
    return exposed(_families(run))


def _families(run: WatchedRun) -> Iterator[Metric]:
    plan, standing = run.plan, run.standing
    yield info({"plan": plan.name, "gateway": run.gateway, "seed": str(plan.seed)})
    verdicts = {verdict.value: float(verdict is run.verdict) for verdict in Verdict}
    yield gauges("verdict", "1 for what the run came to; 0 for all until it is judged.", "verdict", verdicts)
    yield from _standing(standing)
    yield from measured(run.figures, run.figures.histograms)


def _standing(standing: Standing) -> Iterator[Metric]:
    phases = {phase.value: float(phase is standing.phase) for phase in Phase}
    yield gauges("phase", "1 for where the run stands.", "phase", phases)
    yield gauge("paused", "1 while the plan's time stands still.", float(standing.is_paused))
    yield gauge("elapsed_seconds", "The plan's time; below 0 before its start.", standing.elapsed_s)
    yield gauge("planned_seconds", "How long the plan's load lasts.", standing.duration_s)
    states = {state: float(nodes) for state, nodes in standing.states.items()}
    yield gauges("nodes", "Nodes by what they do.", "state", states)
    yield gauge("nodes_planned", "Nodes that there are to be.", standing.planned_nodes)
    jobs = {
        "offered": standing.offered,
        "submitted": standing.submitted,
        "accepted": standing.accepted,
        "queued": standing.queued,
        "working": standing.working,
        "in_flight": standing.in_flight,
        "outbox": standing.outbox,
    }
    yield gauges("jobs", "Jobs: the first three since the beginning, the others as they are.", "stage", jobs)
    yield gauge(
        "event_loop_lag_seconds", "The worst delay of the generator's event loop in the last second.", standing.lag_s
    )
    yield gauge(
        "cpu_cores",
        "Processor time that the generator's busiest process used in the last second, in cores.",
        standing.cpu,
    )
