"""The gate before a claim: closed while there is any reason against it."""

from __future__ import annotations

from node.domain.events import HoldsChanged
from node.domain.ids import NodeId
from node.domain.states import Hold
from node.ports.events import EventSink


class Holds:
    """The reasons for which one node does not claim at present."""

    __slots__ = ("_events", "_node", "now")

    def __init__(self, node: NodeId, events: EventSink) -> None:
        self._node = node
        self._events = events
        self.now = Hold.NOTHING

    def put(self, hold: Hold, *, on: bool) -> None:
        """Add or remove a reason, and tell when that changes anything."""
        holds = self.now | hold if on else self.now & ~hold
        if holds != self.now:
            self.now = holds
            self._events.emit(HoldsChanged(self._node, holds))
