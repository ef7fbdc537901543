"""The metrics of nodes, jobs and results, in Prometheus' terms; those of engines are in `engine_metrics`.

Labels have few values by design: lives, outcomes, steps, executors, engines, and of models the first few. None is
a job; nodes are labels only where asked for, since each costs a series. What is measured at the moment it is asked
for, such as slots and memory, is in `live_metrics`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Info, generate_latest
from prometheus_client.registry import Collector

from node import __version__
from node.observability.engine_metrics import EngineMetrics
from node.observability.metric_families import ANY_S, PREFIX, SLOW_S, Families
from node.observability.model_names import ModelNames


class Metrics:
    """All metrics, in a registry of their own; each name begins with ``llm_node_``, and times are in seconds.

    With ``per_node`` the last three have a series for each node that did something: for small fleets. Only the first
    ``max_models`` models have labels of their own, which pass through ``redact``. ``worker`` is the process' name,
    told where it is not empty.
    """

    def __init__(
        self,
        *,
        per_node: bool = False,
        max_models: int = 20,
        worker: str = "",
        redact: Callable[[str], str] = str,
    ) -> None:
        self.per_node: Final = per_node
        self.registry: Final = CollectorRegistry()
        made = Families(self.registry)
        _tell_build(self.registry, worker)
        self.engines: Final = EngineMetrics(made, ModelNames(max_models, redact))
        self.nodes: Final = made.gauge("nodes", "Nodes by where they stand in their life.", "life")
        self.sessions: Final = made.counter("sessions", "Changes of sessions by the state they led to.", "state")

        self.renewals: Final = made.counter("session_renewals", "Sessions granted again, by renewal or a new start.")

        self.polls: Final = made.plain_counter("polls", "Polls by what came of them.", "outcome")
        self.poll_duration: Final = made.plain_histogram("poll_duration_seconds", "Time of a poll that was answered.")
        self.poll_lateness: Final = made.plain_histogram("poll_lateness_seconds", "Start of a poll after it was due.")

        self.step_duration: Final = made.histogram(
            "step_duration_seconds", "Time of a protocol step other than the poll, retries included.", "step", "outcome"
        )
        self.step_retries: Final = made.counter("step_retries", "Attempts at a step that were repeated.", "step")

        self.jobs_received: Final = made.plain_counter("jobs_received", "Jobs that nodes started on.")
        self.jobs_skipped: Final = made.counter("jobs_skipped", "Jobs received again, and not run again.")
        self.jobs_finished: Final = made.plain_counter("jobs_finished", "Jobs with a result.", "executor", "outcome")
        self.jobs_lost: Final = made.counter("jobs_lost", "Jobs that ended without a result that could be kept.")
        self.jobs_running: Final = made.gauge("jobs_running", "Jobs under way.")
        self.job_duration: Final = made.plain_histogram(
            "job_duration_seconds", "Time from a job's receipt to its result.", "executor", "outcome", buckets=SLOW_S
        )
        self.job_phases: Final = made.histogram(
            "job_phase_seconds", "Where the time of the sampled jobs went.", "phase", buckets=ANY_S
        )
        self.output_tokens: Final = made.plain_counter("output_tokens", "Tokens made, where engines tell.", "executor")

        self.results: Final = made.plain_counter(
            "results", "Results that left the outbox, by what came of them.", "outcome"
        )
        self.result_delays: Final = made.counter("result_delays", "Attempts to hand a result over that failed.")
        self.results_unsafe: Final = made.counter("results_unsafe", "Attempts to keep a result that the disk refused.")
        self.result_delivery: Final = made.plain_histogram(
            "result_delivery_seconds", "Time from a job's receipt to its result's acceptance.", buckets=SLOW_S
        )

        self.points: Final = made.gauge("points", "Points of all nodes, as the gateway last told.")
        self.auth_healthy: Final = made.gauge("auth_healthy", "1 while the auth service is held to be healthy.")
        self.proxies: Final = ProxyMetrics(made)
        self.crashes: Final = made.counter("crashes", "Tasks that died of a defect.")

        self.node_jobs: Final = made.counter("node_jobs", "Jobs with a result, by node.", "node", "outcome")
        self.node_points: Final = made.gauge("node_points", "Points of a node, as the gateway last told.", "node")
        self.node_running: Final = made.gauge("node_running", "1 while a node is running.", "node")

    def observe(self, collector: Collector) -> None:
        """Tell what this collector finds, too, each time that the figures are asked for."""
        self.registry.register(collector)

    def exposition(self) -> bytes:
        """All values in Prometheus' text format, UTF-8."""
        return generate_latest(self.registry)


class ProxyMetrics:
    """The metrics of proxies, all together."""

    def __init__(self, made: Families) -> None:
        self.checks: Final = made.counter(
            "proxy_checks", "Checks of proxies, and failures of them that nodes report.", "outcome"
        )
        self.check_duration: Final = made.histogram("proxy_check_duration_seconds", "Time of a proxy's check.")
        self.assignments: Final = made.counter("proxy_assignments", "Proxies given to nodes.")


def _tell_build(registry: CollectorRegistry, worker: str) -> None:
    build = Info(f"{PREFIX}build", "The program and, by its worker's name, the process.", registry=registry)
    build.info({"version": __version__, "python": platform.python_version(), "worker": worker})
