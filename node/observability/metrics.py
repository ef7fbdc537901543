"""Every metric of the program, in Prometheus' terms.

Labels have few values by design: lives, outcomes, steps, executors and engines. None is a job or a model,
which others name; nodes are labels only where asked for, since each costs a series.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for single requests, in seconds."""

SLOW_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Buckets for jobs and what contains them, in seconds."""


class Metrics:
    """All metrics, in a registry of their own; each name begins with ``llm_node_``, and times are in seconds.

    With ``per_node`` the last three have a series for each node that did something: for small fleets.
    """

    def __init__(self, *, per_node: bool = False) -> None:
        self.per_node: Final = per_node
        self.registry: Final = CollectorRegistry()
        self.nodes: Final = self._gauge("nodes", "Nodes by where they stand in their life.", "life")
        self.sessions: Final = self._counter("sessions", "Changes of sessions by the state they led to.", "state")

        self.polls: Final = self._counter("polls", "Polls by what came of them.", "outcome")
        self.poll_duration: Final = self._histogram("poll_duration_seconds", "Time of a poll that was answered.")
        self.poll_lateness: Final = self._histogram("poll_lateness_seconds", "Start of a poll after it was due.")

        self.step_duration: Final = self._histogram(
            "step_duration_seconds", "Time of a protocol step other than the poll, retries included.", "step", "outcome"
        )
        self.step_retries: Final = self._counter("step_retries", "Attempts at a step that were repeated.", "step")

        self.jobs_received: Final = self._counter("jobs_received", "Jobs that nodes started on.")
        self.jobs_skipped: Final = self._counter("jobs_skipped", "Jobs received again, and not run again.")
        self.jobs_finished: Final = self._counter("jobs_finished", "Jobs with a result.", "executor", "outcome")
        self.jobs_lost: Final = self._counter("jobs_lost", "Jobs that ended without a result that could be kept.")
        self.jobs_running: Final = self._gauge("jobs_running", "Jobs under way.")
        self.job_duration: Final = self._histogram(
            "job_duration_seconds", "Time from a job's receipt to its result.", "executor", buckets=SLOW_S
        )
        self.output_tokens: Final = self._counter("output_tokens", "Tokens made, where engines tell.", "executor")

        self.results: Final = self._counter("results", "Results that left the outbox, by what came of them.", "outcome")
        self.result_delays: Final = self._counter("result_delays", "Attempts to hand a result over that failed.")
        self.results_unsafe: Final = self._counter("results_unsafe", "Attempts to keep a result that the disk refused.")
        self.result_delivery: Final = self._histogram(
            "result_delivery_seconds", "Time from a job's receipt to its result's acceptance.", buckets=SLOW_S
        )

        self.points: Final = self._gauge("points", "Points of all nodes, as the gateway last told.")
        self.auth_healthy: Final = self._gauge("auth_healthy", "1 while the auth service is held to be healthy.")
        self.proxy_checks: Final = self._counter(
            "proxy_checks", "Checks of proxies, and failures of them that nodes report.", "outcome"
        )
        self.proxy_check_duration: Final = self._histogram("proxy_check_duration_seconds", "Time of a proxy's check.")
        self.proxy_assignments: Final = self._counter("proxy_assignments", "Proxies given to nodes.")
        self.engine_available: Final = self._gauge("engine_available", "1 while an engine can be reached.", "engine")
        self.engine_duration: Final = self._histogram(
            "engine_request_duration_seconds", "Time of a request to an engine.", "engine", "outcome", buckets=SLOW_S
        )
        self.crashes: Final = self._counter("crashes", "Tasks that died of a defect.")

        self.node_jobs: Final = self._counter("node_jobs", "Jobs with a result, by node.", "node", "outcome")
        self.node_points: Final = self._gauge("node_points", "Points of a node, as the gateway last told.", "node")
        self.node_running: Final = self._gauge("node_running", "1 while a node is running.", "node")

    def exposition(self) -> bytes:
        """All values in Prometheus' text format, UTF-8."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"llm_node_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"llm_node_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = FAST_S) -> Histogram:
        return Histogram(f"llm_node_{name}", text, labels, registry=self.registry, buckets=buckets)
