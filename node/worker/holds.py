"""The gate before a claim: closed while there is any reason against it."""

from __future__ import annotations

from typing import Final

from node.domain.events import HoldsChanged
from node.domain.ids import NodeId
from node.domain.states import Hold
from node.ports.clock import Clock
from node.ports.events import EventSink

_NOTHING: Final = Hold.NOTHING

_TOLD: Final = Hold.PAUSED | Hold.DRAINING
"""The reasons that somebody puts and takes away; all others are found anew at each look."""

_OPEN: Final = (Hold.NOTHING, Hold.BACK_OFF)
"""What leaves a poll that is due late; the end of any other reason is where its lateness begins."""


class Holds:
    """The reasons for which one node does not claim at present.

    ``open_since`` is when the last of them went, in the loop's time. The end of a back-off does not count: a
    poll that follows it was due then, and may be late.
    """

    __slots__ = ("_clock", "_events", "_node", "now", "open_since")

    def __init__(self, node: NodeId, clock: Clock, events: EventSink) -> None:
        self._node = node
        self._clock = clock
        self._events = events
        self.now = Hold.NOTHING
        self.open_since = float("-inf")

    def put(self, hold: Hold, *, on: bool) -> None:
        """Add or remove a reason, and tell when that changes anything."""
        self._replace(self.now.also(hold) if on else self.now.but(hold))

    def look(self, found: Hold) -> None:
        """Replace all reasons but those that somebody has put."""
        if found is not self.now:
            self._replace(found if self.now is _NOTHING else found | self.now & _TOLD)

    @property
    def none_is_told(self) -> bool:
        """Whether nobody has put a reason that stays until it is taken away."""
        return self.now is _NOTHING or not self.now & _TOLD

    def _replace(self, holds: Hold) -> None:
        if holds is self.now:
            return
        if self.now not in _OPEN and holds in _OPEN:
            self.open_since = self._clock.monotonic()
        self.now = holds
        self._events.emit(HoldsChanged(self._node, holds))
