"""What shows a run to people."""

from __future__ import annotations

from typing import Protocol

from node.app.assembly import Fleet
from node.app.telemetry import Telemetry
from node.runtime.signals import Signal


class Display(Protocol):
    """What shows a run to people while it lasts."""

    def say(self, text: str) -> None:
        """Tell something that matters to whoever started the run; returns at once."""
        ...

    async def watch(self, fleet: Fleet, telemetry: Telemetry, stop: Signal) -> None:
        """Show the fleet until ``stop`` is set, and return soon after: the run's end waits for it."""
        ...
