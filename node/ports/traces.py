"""Where jobs stand in traces."""

from __future__ import annotations

from typing import Protocol

from node.domain.ids import JobKey
from node.domain.trace import TraceContext


class Traces(Protocol):
    """Knows which jobs are sampled, that is traced and profiled."""

    def context(self, key: JobKey) -> TraceContext | None:
        """What an engine's work on this job belongs to, from the job's claim on; None when it is not sampled."""
        ...


class Untraced:
    """Samples nothing."""

    def context(self, key: JobKey) -> TraceContext | None:
        """See `Traces.context`."""
        del key
        return None
