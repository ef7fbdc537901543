"""Turns events into spans of traces: one trace for a job, one for each start of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId
from node.domain.jobs import JobKind
from node.domain.states import Life
from node.domain.trace import TraceContext
from node.observability.trace_book import MAX_OPEN, JobTrace, TraceBook
from node.ports.clock import Clock

Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
Attributes: TypeAlias = Mapping[str, Attribute]
SpanKind: TypeAlias = Literal["internal", "client", "consumer"]

NODE: Final = "llm_node.node"
JOB: Final = "llm_node.job"
ATTEMPTS: Final = "llm_node.attempts"

_OPERATIONS: Final[Mapping[JobKind, str]] = MappingProxyType({"chat": "chat", "embedding": "embeddings"})
"""Kinds of jobs by the names of OpenTelemetry's conventions for generative AI."""


class Span(NamedTuple):
    """A piece of work that is over. Times are Unix times in seconds; ``error`` is empty where it succeeded."""

    name: str
    context: TraceContext
    parent: TraceContext | None
    began_at: float
    ended_at: float
    attributes: Attributes
    kind: SpanKind = "internal"
    error: str = ""


class _Start(NamedTuple):
    context: TraceContext
    began_at: float


class _Poll(NamedTuple):
    job: JobId
    began_at: float
    ended_at: float


@dataclass(slots=True)
class _OpenJob:
    trace: JobTrace
    claimed: ev.JobClaimed
    began_at: float
    claimed_at: float
    kept_at: float
    asked_at: float | None = None
    error: str = ""


class TraceSubscriber:
    """A `Subscriber` that hands each finished span to ``export``, which must not wait.

    A job's trace has the spans "job", from the poll that brought it to its result's acceptance, and within it
    "poll", "claim" until an engine is asked, "chat <model>" with the attributes of OpenTelemetry's conventions for
    generative AI, "keep" until the result is on disk, and "submit". A node's start has "start" and its steps. Polls
    that fail are traced by the same share as jobs; those that bring nothing are not. The book says which jobs.
    """

    def __init__(self, export: Callable[[Span], object], book: TraceBook, clock: Clock) -> None:
        self._export = export
        self._book = book
        self._clock = clock
        self._starts: dict[NodeId, _Start] = {}
        self._polls: dict[NodeId, _Poll] = {}
        self._jobs: dict[JobKey, _OpenJob] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return {
            ev.LifeChanged: self._on_life,
            ev.StepEnded: self._on_step,
            ev.PollEnded: self._on_poll,
            ev.PollFailed: self._on_poll_failed,
            ev.JobClaimed: self._on_claimed,
            ev.EngineCalled: self._on_called,
            ev.JobEnded: self._on_ended,
            ev.ResultAccepted: self._on_accepted,
            ev.ResultBuried: self._on_buried,
            ev.ResultLost: lambda event: self._close(event.key, event.reason),
        }

    def finish(self) -> None:
        """Tell of the jobs whose result was not sent yet; call it once, at the end."""
        for key in list(self._jobs):
            self._close(key, "the result was not sent yet when the node ended")

    def _on_life(self, event: ev.LifeChanged) -> None:
        now = self._clock.wall()
        start = self._starts.pop(event.node, None)
        if start is not None:
            error = "" if event.after is Life.RUNNING else event.reason or event.input.value
            self._export(Span("start", start.context, None, start.began_at, now, {NODE: event.node}, error=error))
        if event.after is Life.STARTING:
            self._starts[event.node] = _Start(self._book.draw(), now)

    def _on_step(self, event: ev.StepEnded) -> None:
        start, now = self._starts.get(event.node), self._clock.wall()
        parent = start.context if start else None
        attributes: Attributes = {NODE: event.node, ATTEMPTS: event.attempts}
        context = self._book.draw(parent)
        began_at = now - event.took_s
        self._export(Span(event.step, context, parent, began_at, now, attributes, "client", event.error))

    def _on_poll(self, event: ev.PollEnded) -> None:
        if event.job is not None:
            now = self._clock.wall()
            self._polls[event.node] = _Poll(event.job, now - event.took_s, now)

    def _on_poll_failed(self, event: ev.PollFailed) -> None:
        if self._book.is_drawn():
            now, context = self._clock.wall(), self._book.draw()
            node: Attributes = {NODE: event.node}
            self._export(Span("poll", context, None, now - event.took_s, now, node, "client", event.reason))

    def _on_claimed(self, event: ev.JobClaimed) -> None:
        key, now = event.key, self._clock.wall()
        poll = self._polls.pop(key.node, None)
        trace = self._book.trace(key)
        if trace is None:
            return
        began_at = now
        if poll is not None and poll.job == key.job:
            began_at = poll.began_at
            self._part(trace, "poll", poll.began_at, poll.ended_at, {NODE: key.node}, kind="client")
        if len(self._jobs) >= MAX_OPEN:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[key] = _OpenJob(trace, event, began_at, claimed_at=now, kept_at=now)

    def _on_called(self, event: ev.EngineCalled) -> None:
        key = self._book.job(event.trace)
        job = None if key is None else self._jobs.get(key)
        if job is not None and job.asked_at is None:
            job.asked_at = max(job.claimed_at, self._clock.wall() - event.took_s)

    def _on_ended(self, event: ev.JobEnded) -> None:
        job = self._jobs.get(event.key)
        if job is None:
            return
        job.kept_at, job.error = self._clock.wall(), event.error
        ended_at = min(job.kept_at, job.claimed_at + event.took_s)
        began_at = job.claimed_at
        if job.asked_at is not None:
            began_at = min(job.asked_at, ended_at)
            self._part(job.trace, "claim", job.claimed_at, began_at)
        operation = _OPERATIONS[job.claimed.kind]
        name = f"{operation} {job.claimed.model}".strip()
        attributes = _generation(operation, job.claimed, event)
        whole, execution = job.trace
        self._export(Span(name, execution, whole, began_at, ended_at, attributes, "client", event.error))
        self._part(job.trace, "keep", ended_at, job.kept_at)

    def _on_accepted(self, event: ev.ResultAccepted) -> None:
        self._submitted(event.key, {ATTEMPTS: event.attempts, "llm_node.already_there": event.already})

    def _on_buried(self, event: ev.ResultBuried) -> None:
        self._submitted(event.key, {}, event.reason)

    def _submitted(self, key: JobKey, attributes: Attributes, error: str = "") -> None:
        job = self._jobs.get(key)
        if job is not None:
            self._part(job.trace, "submit", job.kept_at, self._clock.wall(), attributes, kind="client", error=error)
            self._close(key, error)

    def _part(
        self,
        trace: JobTrace,
        name: str,
        began_at: float,
        ended_at: float,
        attributes: Attributes = MappingProxyType({}),
        *,
        kind: SpanKind = "internal",
        error: str = "",
    ) -> None:
        context = self._book.draw(trace.whole)
        self._export(Span(name, context, trace.whole, began_at, ended_at, attributes, kind, error))

    def _close(self, key: JobKey, error: str) -> None:
        job = self._jobs.pop(key, None)
        if job is not None:
            attributes: Attributes = {NODE: key.node, JOB: key.job, "llm_node.source": key.source}
            whole, now = job.trace.whole, self._clock.wall()
            self._export(Span("job", whole, None, job.began_at, now, attributes, "consumer", job.error or error))


def _generation(operation: str, claimed: ev.JobClaimed, event: ev.JobEnded) -> Attributes:
    """What OpenTelemetry's conventions for generative AI name; nothing of what was asked or answered."""
    told: dict[str, str | int | float | bool | tuple[str, ...] | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": claimed.model or None,
        "gen_ai.provider.name": event.executor or None,
        "gen_ai.response.model": None if event.error else event.model,
        "gen_ai.response.finish_reasons": (event.finish_reason,) if event.finish_reason else None,
        "gen_ai.usage.input_tokens": event.prompt_tokens,
        "gen_ai.usage.output_tokens": event.output_tokens,
        "gen_ai.response.time_to_first_chunk": event.first_token_s,
        "error.type": "_OTHER" if event.error else None,
    }
    return {name: value for name, value in told.items() if value is not None}
