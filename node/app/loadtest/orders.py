"""What signals ask of a load test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class _Work:
    """Something that no order shortens, and that is given up when everything is to end."""

    task: asyncio.Task[Any]

    def stop(self) -> None:
        """See `Steered.stop`."""

    def abort(self) -> None:
        """See `Steered.abort`."""
        self.task.cancel()


async def unless_aborted(work: Coroutine[Any, Any, T], name: str, orders: Orders) -> T | None:
    """What comes of this work, which obeys ``orders`` from now on; None where everything was ended before or meanwhile."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    orders.obeyed_by(_Work(task))
    try:
        await asyncio.wait([task])
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return None if task.cancelled() else task.result()
