"""Where a piece of work stands in a trace, as the W3C recommendation "Trace Context" writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SAMPLED: Final = 1
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span within a trace: 128 and 64 bits, neither 0; ``is_sampled`` says that the trace is recorded."""

    trace_id: int
    span_id: int
    is_sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The value of the header ``traceparent``."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def parse_traceparent(text: str) -> TraceContext | None:
    """Read the header; None when it is not valid. Of versions to come the part that this one knows is read."""
    match = _TRACEPARENT.fullmatch(text.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None
