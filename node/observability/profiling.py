"""Says of the sampled jobs where their time went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId
from node.observability.trace_book import MAX_OPEN, JobTrace, TraceBook
from node.ports.clock import Clock
from node.ports.events import EventSink


class Gauges(NamedTuple):
    """What is read of the process: its processor time so far, and how late the loop was since a time of its clock.

    Both are in seconds.
    """

    cpu_s: Callable[[], float]
    loop_lag_s: Callable[[float], float]


@dataclass(slots=True)
class _OpenJob:
    trace: JobTrace
    model: str
    poll_s: float
    claimed_at: float
    cpu_before_s: float
    calls: int = 0
    asked_s: float = 0.0
    load_s: float = 0.0
    first_token_s: float = 0.0
    error: str = ""
    took_s: float = 0.0
    kept_at: float | None = None


class JobProfiler:
    """A `Subscriber` that emits a `JobProfiled` for each job that the book has drawn, once its result is gone.

    What an engine did is known by its `EngineCalled`, which bears the job's trace. Of jobs whose result was lost, or
    is still unsent at the end, nothing is told.
    """

    def __init__(self, book: TraceBook, clock: Clock, gauges: Gauges, events: EventSink) -> None:
        self._book = book
        self._clock = clock
        self._gauges = gauges
        self._events = events
        self._polls: dict[NodeId, tuple[JobId, float]] = {}
        self._jobs: dict[JobKey, _OpenJob] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return {
            ev.PollEnded: self._on_poll,
            ev.JobClaimed: self._on_claimed,
            ev.EngineCalled: self._on_called,
            ev.JobEnded: self._on_ended,
            ev.ResultAccepted: lambda event: self._close(event.key, ""),
            ev.ResultBuried: lambda event: self._close(event.key, event.reason),
            ev.ResultLost: lambda event: self._jobs.pop(event.key, None),
        }

    def _on_poll(self, event: ev.PollEnded) -> None:
        if event.job is not None:
            self._polls[event.node] = (event.job, event.took_s)

    def _on_claimed(self, event: ev.JobClaimed) -> None:
        key = event.key
        job, poll_s = self._polls.pop(key.node, (None, 0.0))
        trace = self._book.trace(key)
        if trace is None:
            return
        if len(self._jobs) >= MAX_OPEN:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[key] = _OpenJob(
            trace, event.model, poll_s if job == key.job else 0.0, self._clock.monotonic(), self._gauges.cpu_s()
        )

    def _on_called(self, event: ev.EngineCalled) -> None:
        key = self._book.job(event.trace)
        job = None if key is None else self._jobs.get(key)
        if job is None:
            return
        waited_s = event.took_s if event.first_token_s is None else event.first_token_s
        load_s = min(event.load_s or 0.0, waited_s)
        job.calls += 1
        job.asked_s += event.took_s
        job.load_s += load_s
        job.first_token_s += waited_s - load_s

    def _on_ended(self, event: ev.JobEnded) -> None:
        job = self._jobs.get(event.key)
        if job is not None:
            job.model, job.error, job.took_s = event.model, event.error, event.took_s
            job.kept_at = self._clock.monotonic()

    def _close(self, key: JobKey, refusal: str) -> None:
        job = self._jobs.pop(key, None)
        if job is None or job.kept_at is None:
            return
        phases = ev.JobPhases(
            poll_s=job.poll_s,
            wait_s=max(0.0, job.took_s - job.asked_s),
            load_s=job.load_s,
            first_token_s=job.first_token_s,
            generation_s=max(0.0, job.asked_s - job.load_s - job.first_token_s),
            keep_s=max(0.0, job.kept_at - job.claimed_at - job.took_s),
            submit_s=self._clock.monotonic() - job.kept_at,
        )
        told = ev.JobProfiled(
            *(key, job.model, job.error or refusal, phases, job.calls),
            cpu_s=self._gauges.cpu_s() - job.cpu_before_s,
            loop_lag_s=self._gauges.loop_lag_s(job.claimed_at),
            trace=job.trace.whole,
        )
        self._events.emit(told)
