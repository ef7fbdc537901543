"""Whether an engine is there, known once for a whole fleet."""

from __future__ import annotations

from typing import Final

from node.domain.events import EngineChanged
from node.ports.clock import Clock
from node.ports.events import EventSink

_FIRST_S: Final = 0.25


class EnginePresence:
    """Remembers that an engine is missing, so that a fleet does not hammer a dead port, and tells of changes.

    Nothing is known at first, and callers may try; from then on every change is one `EngineChanged`. While the
    engine is missing, one caller after 0.25 s, twice as long, and so on to every ``recheck_s``, is chosen to look again.
    """

    def __init__(self, engine: str, recheck_s: float, clock: Clock, events: EventSink) -> None:
        self._engine = engine
        self._recheck_s = recheck_s
        self._clock = clock
        self._events = events
        self._found: bool | None = None
        self._reason = ""
        self._look_at = 0.0
        self._wait_s = 0.0

    @property
    def is_there(self) -> bool:
        """Whether it is known to be there."""
        return self._found is True

    @property
    def missing_because(self) -> str:
        """Why the engine is held to be missing; empty while it is not."""
        return self._reason

    def look_now(self) -> bool:
        """Whether this caller is the one to look again; it tells what it found by `found` or `missing`, or nothing."""
        now = self._clock.monotonic()
        if not self._reason or now < self._look_at:
            return False
        self._wait_s = min(2 * self._wait_s, self._recheck_s)
        self._look_at = now + self._wait_s
        return True

    def found(self) -> None:
        """The engine answered, whatever it said."""
        self._tell(available=True, reason="")

    def missing(self, reason: str) -> None:
        """Nothing answered: ``reason``, a sentence without secrets. The wait begins anew."""
        if not self._reason:
            self._wait_s = min(_FIRST_S, self._recheck_s)
        self._look_at = self._clock.monotonic() + self._wait_s
        self._tell(available=False, reason=reason)

    def _tell(self, *, available: bool, reason: str) -> None:
        self._reason = reason
        if self._found is not available:
            self._found = available
            self._events.emit(EngineChanged(self._engine, available, reason))
