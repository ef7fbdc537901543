"""Turns events into metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from node.domain import events as ev
from node.domain.ids import NodeId
from node.domain.states import Life, Session
from node.observability.metrics import Metrics
from node.observability.plain_metrics import Count, Spread

FAILED_EXECUTOR: Final = "none"
"""The executor's label where a job failed and none can be named."""


class MetricsSubscriber:
    """A `Subscriber` that counts. ``fleet`` is the number of nodes at the start, all of them new."""

    def __init__(self, metrics: Metrics, fleet: int) -> None:
        self._metrics = metrics
        self._points: dict[NodeId, float] = {}
        self._total_points = 0.0
        for life in Life:
            metrics.nodes.labels(life.value).set(fleet if life is Life.NEW else 0)
        metrics.auth_healthy.set(1)
        self._jobs_running = 0
        metrics.jobs_running.set_function(lambda: self._jobs_running)
        self._executors: dict[tuple[str, str], tuple[Count, Spread]] = {}
        self._received = metrics.jobs_received.labels()
        self._poll_duration = metrics.poll_duration.labels()
        self._poll_lateness = metrics.poll_lateness.labels()
        self._delivery = metrics.result_delivery.labels()
        self._poll_with_job = metrics.polls.labels("job")
        self._poll_without = metrics.polls.labels("none")
        self._poll_failed = metrics.polls.labels("failed")
        self._accepted = metrics.results.labels("accepted")
        self._already = metrics.results.labels("already there")
        self._buried = metrics.results.labels("refused")

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        metrics = self._metrics
        return {
            ev.LifeChanged: self._on_life,
            ev.SessionChanged: self._on_session,
            ev.PollStarted: self._on_poll_started,
            ev.PollEnded: self._on_poll,
            ev.PollFailed: self._on_poll_failed,
            ev.StepEnded: self._on_step,
            ev.StepRetried: lambda event: metrics.step_retries.labels(event.step).inc(),
            ev.JobClaimed: self._on_claimed,
            ev.JobSkipped: lambda _: metrics.jobs_skipped.inc(),
            ev.JobEnded: self._on_job,
            ev.ResultAccepted: self._on_accepted,
            ev.ResultDelayed: lambda _: metrics.result_delays.inc(),
            ev.ResultBuried: self._on_buried,
            ev.ResultUnsafe: lambda _: metrics.results_unsafe.inc(),
            ev.ResultLost: self._on_lost,
            ev.JobProfiled: self._on_profiled,
            ev.PointsChecked: self._on_points,
            ev.AuthHealthChanged: lambda event: metrics.auth_healthy.set(event.state == "closed"),
            ev.ProxyChecked: self._on_proxy,
            ev.ProxyAssigned: lambda _: metrics.proxies.assignments.inc(),
            ev.Crash: lambda _: metrics.crashes.inc(),
            **metrics.engines.handlers(),
        }

    def _on_life(self, event: ev.LifeChanged) -> None:
        nodes = self._metrics.nodes
        nodes.labels(event.before.value).dec()
        nodes.labels(event.after.value).inc()
        if self._metrics.per_node:
            self._metrics.node_running.labels(event.node).set(event.after is Life.RUNNING)

    def _on_session(self, event: ev.SessionChanged) -> None:
        self._metrics.sessions.labels(event.state.value).inc()
        if event.state is Session.VALID and event.generation > 1:
            self._metrics.renewals.inc()

    def _on_poll_started(self, event: ev.PollStarted) -> None:
        self._poll_lateness.observe(event.lateness_s)

    def _on_poll(self, event: ev.PollEnded) -> None:
        outcome = self._poll_without if event.job is None else self._poll_with_job
        outcome.value += 1
        self._poll_duration.observe(event.took_s)

    def _on_poll_failed(self, _: ev.PollFailed) -> None:
        self._poll_failed.value += 1

    def _on_step(self, event: ev.StepEnded) -> None:
        self._metrics.step_duration.labels(event.step, _outcome(event.error)).observe(event.took_s)

    def _on_claimed(self, _: ev.JobClaimed) -> None:
        self._received.value += 1
        self._jobs_running += 1

    def _on_job(self, event: ev.JobEnded) -> None:
        executor, outcome = event.executor or FAILED_EXECUTOR, _outcome(event.error)
        series = self._executors.get((executor, outcome))
        if series is None:
            series = self._executors[executor, outcome] = self._series(executor, outcome)
        finished, duration = series
        self._jobs_running -= 1
        finished.value += 1
        duration.observe(event.took_s)
        if event.output_tokens:
            self._metrics.output_tokens.labels(executor).value += event.output_tokens
        if self._metrics.per_node:
            self._metrics.node_jobs.labels(event.key.node, outcome).inc()

    def _series(self, executor: str, outcome: str) -> tuple[Count, Spread]:
        metrics = self._metrics
        return metrics.jobs_finished.labels(executor, outcome), metrics.job_duration.labels(executor, outcome)

    def _on_accepted(self, event: ev.ResultAccepted) -> None:
        outcome = self._already if event.already else self._accepted
        outcome.value += 1
        self._delivery.observe(event.took_s)

    def _on_buried(self, _: ev.ResultBuried) -> None:
        self._buried.value += 1

    def _on_lost(self, _: ev.ResultLost) -> None:
        self._metrics.jobs_lost.inc()
        self._jobs_running -= 1

    def _on_profiled(self, event: ev.JobProfiled) -> None:
        for phase, seconds in event.phases._asdict().items():
            self._metrics.job_phases.labels(phase.removesuffix("_s")).observe(seconds)

    def _on_points(self, event: ev.PointsChecked) -> None:
        points = event.points.points
        self._total_points += points - self._points.get(event.node, 0.0)
        self._points[event.node] = points
        self._metrics.points.set(self._total_points)
        if self._metrics.per_node:
            self._metrics.node_points.labels(event.node).set(points)

    def _on_proxy(self, event: ev.ProxyChecked) -> None:
        self._metrics.proxies.checks.labels(_outcome(event.error)).inc()
        if event.took_s:
            self._metrics.proxies.check_duration.observe(event.took_s)


def _outcome(error: str) -> str:
    return "error" if error else "success"
