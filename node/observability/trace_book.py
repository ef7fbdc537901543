"""Which jobs are sampled, that is traced and profiled, and under which ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from node.domain import events as ev
from node.domain.ids import JobKey
from node.domain.trace import TraceContext
from node.ports.clock import Random

MAX_OPEN: Final = 10_000
"""Sampled jobs that are remembered at once; beyond, the oldest is forgotten."""


class JobTrace(NamedTuple):
    """A sampled job's spans that others belong to: the whole of it, and the engine's work within."""

    whole: TraceContext
    execution: TraceContext


class TraceBook:
    """A `Subscriber` that draws ids for a share of the jobs, ``sample_rate`` (0 to 1), when they are claimed.

    It knows a job until its result is accepted, refused or lost. Attach it before those who ask it about a job that
    was claimed: one draw is for all of them.
    """

    def __init__(self, random: Random, sample_rate: float) -> None:
        self._random = random
        self._sample_rate = sample_rate
        self._open: dict[JobKey, JobTrace] = {}
        self._keys: dict[TraceContext, JobKey] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`; nothing is listened to where nothing is sampled."""
        if not self._sample_rate:
            return {}
        over = dict.fromkeys((ev.ResultAccepted, ev.ResultBuried, ev.ResultLost), self._on_over)
        return {ev.JobClaimed: self._on_claimed, **over}

    def context(self, key: JobKey) -> TraceContext | None:
        """What a call to an engine for this job belongs to: its ``traceparent``; None when it is not sampled."""
        trace = self._open.get(key)
        return None if trace is None else trace.execution

    def trace(self, key: JobKey) -> JobTrace | None:
        """The job's spans; None when it is not sampled."""
        return self._open.get(key)

    def job(self, execution: TraceContext | None) -> JobKey | None:
        """The job that a call to an engine belongs to, by what `context` gave for it; None when it is not known."""
        return None if execution is None else self._keys.get(execution)

    def is_drawn(self) -> bool:
        """Whether the lot says to trace one more thing."""
        return self._random.random() < self._sample_rate

    def draw(self, parent: TraceContext | None = None) -> TraceContext:
        """A new span, in its parent's trace or in a new one."""
        trace_id = self._random.randrange(1, 1 << 128) if parent is None else parent.trace_id
        return TraceContext(trace_id, self._random.randrange(1, 1 << 64))

    def _on_claimed(self, event: ev.JobClaimed) -> None:
        self._forget(event.key)
        if not self.is_drawn():
            return
        if len(self._open) >= MAX_OPEN:
            self._forget(next(iter(self._open)))
        whole = self.draw()
        trace = self._open[event.key] = JobTrace(whole, self.draw(whole))
        self._keys[trace.execution] = event.key

    def _on_over(self, event: ev.ResultAccepted | ev.ResultBuried | ev.ResultLost) -> None:
        self._forget(event.key)

    def _forget(self, key: JobKey) -> None:
        trace = self._open.pop(key, None)
        if trace is not None:
            del self._keys[trace.execution]
