"""Tells why a node claims no jobs: once when that begins to last, and once when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from node.domain.events import HoldsChanged, Notice
from node.domain.ids import NodeId
from node.domain.states import Hold
from node.observability.status_document import hold_names
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.gates import ClaimGate
from node.runtime.signals import Signal

LASTS_S: Final = 6.0
"""For so long a hold must last to be told: an engine that is full closes its gate for 5 s, time and again."""

_EVERY_S: Final = 1.0
_ORDINARY: Final = Hold.NO_SLOT | Hold.BACK_OFF | Hold.DRAINING
"""What belongs to every day, or is told elsewhere: failed polls are, and the end of a life."""
_WANTED: Final = Hold.PAUSED | Hold.GPU_BUSY
"""What somebody asked for."""


class HoldWatch:
    """A subscriber of `HoldsChanged` that emits `Notice`: trouble, but for what somebody asked for.

    ``gates`` say more of why they are closed than the hold's name does.
    """

    def __init__(self, node: NodeId, gates: Sequence[ClaimGate], clock: Clock, events: EventSink) -> None:
        self._node = node
        self._gates = gates
        self._clock = clock
        self._events = events
        self._since: dict[Hold, float] = {}
        self._told: dict[Hold, float] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {HoldsChanged: self._on_holds}

    async def run(self, stop: Signal) -> None:
        """Look each second until ``stop`` is set."""
        while not await stop.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        """Tell of what has lasted long enough by now."""
        now = self._clock.monotonic()
        for hold, since in self._since.items():
            if hold not in self._told and now - since >= (0.0 if hold is Hold.PAUSED else LASTS_S):
                self._told[hold] = since
                self._tell(f"no jobs are claimed: {self._named(hold)}", is_trouble=not hold & _WANTED)

    def _on_holds(self, event: HoldsChanged) -> None:
        now = self._clock.monotonic()
        held = event.holds & ~_ORDINARY
        for hold in [hold for hold in self._since if hold not in held]:
            del self._since[hold]
            if (since := self._told.pop(hold, None)) is not None:
                self._tell(f"over after {now - since:.0f} s: {hold_names(hold)[0]}")
        for hold in held:
            self._since.setdefault(hold, now)
        self.look()

    def _named(self, hold: Hold) -> str:
        reasons = [gate.closed_because for gate in self._gates if gate.hold is hold and gate.closed_because]
        return ": ".join([*hold_names(hold), *(["; ".join(reasons)] if reasons else [])])

    def _tell(self, text: str, *, is_trouble: bool = False) -> None:
        self._events.emit(Notice("holds", text, self._node, is_trouble=is_trouble))
