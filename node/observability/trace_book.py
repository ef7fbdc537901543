"""Which jobs are traced, and under which ids."""

from __future__ import annotations

from typing import Final, NamedTuple

from node.domain.ids import JobKey
from node.domain.trace import TraceContext
from node.ports.clock import Random

MAX_OPEN: Final = 10_000
"""Traced jobs that are remembered at once; beyond, the oldest is forgotten."""


class JobTrace(NamedTuple):
    """A traced job's spans that others belong to: the whole of it, and the engine's work within."""

    whole: TraceContext
    execution: TraceContext


class TraceBook:
    """Draws ids for a share of the jobs, ``sample_rate`` (0 to 1), when they are claimed."""

    def __init__(self, random: Random, sample_rate: float) -> None:
        self._random = random
        self._sample_rate = sample_rate
        self._open: dict[JobKey, JobTrace] = {}

    def context(self, key: JobKey) -> TraceContext | None:
        """What a call to an engine for this job belongs to: its ``traceparent``; None when the job is not traced.

        Known from the job's claim until its result is accepted, refused or lost.
        """
        trace = self._open.get(key)
        return None if trace is None else trace.execution

    def open(self, key: JobKey) -> JobTrace | None:
        """Decide whether a job that was claimed is traced, and draw its ids; None when it is not."""
        if not self.is_drawn():
            return None
        if len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        whole = self.draw()
        trace = self._open[key] = JobTrace(whole, self.draw(whole))
        return trace

    def forget(self, key: JobKey) -> None:
        """The job is over."""
        self._open.pop(key, None)

    def is_drawn(self) -> bool:
        """Whether the lot says to trace one more thing."""
        return self._random.random() < self._sample_rate

    def draw(self, parent: TraceContext | None = None) -> TraceContext:
        """A new span, in its parent's trace or in a new one."""
        trace_id = self._random.randrange(1, 1 << 128) if parent is None else parent.trace_id
        return TraceContext(trace_id, self._random.randrange(1, 1 << 64))
