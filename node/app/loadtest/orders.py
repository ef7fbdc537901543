"""What signals ask of a load test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Steered(Protocol):
    """What obeys orders from outside; it may be given them at any time, and again."""

    def stop(self) -> None:
        """End the load."""
        ...

    def abort(self) -> None:
        """End everything."""
        ...


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Orders:
    """What is asked for, kept until there is a run that can obey. ``on_stop`` and ``on_abort`` hear of it at once."""

    on_stop: Callable[[], object] = _nothing
    on_abort: Callable[[], object] = _nothing
    run: Steered | None = None
    is_stopped: bool = False
    is_aborted: bool = False

    def obeyed_by(self, run: Steered) -> None:
        """This run obeys, what was asked for before included."""
        self.run = run
        if self.is_aborted:
            run.abort()
        elif self.is_stopped:
            run.stop()

    def stop(self) -> None:
        """End the load."""
        self.is_stopped = True
        self.on_stop()
        if self.run is not None:
            self.run.stop()

    def abort(self) -> None:
        """End everything."""
        self.is_aborted = True
        self.on_abort()
        if self.run is not None:
            self.run.abort()
