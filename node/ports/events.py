"""Where events go."""

from __future__ import annotations

from typing import Protocol

from node.domain.events import Event


class EventSink(Protocol):
    """Takes events and returns at once; it never raises and never waits."""

    def emit(self, event: Event, /) -> None:
        """Tell all who listen."""
        ...
