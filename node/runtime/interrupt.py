"""Ending what a task awaits without ending the task."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from node.runtime.running import running


class Interrupted(Exception):
    """The block was ended from outside by `Interrupt.trigger`."""


class Interrupt:
    """A block that another task or a timer can end: a cancel scope that costs nothing until it is used.

    One task enters it, one block at a time; it can be used again. A foreign cancellation passes through as
    itself: the count of cancel requests tells the two apart, as `asyncio.timeout` does.
    """

    __slots__ = ("_cancelling", "_due", "_loop", "_task", "_timer", "_triggered")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._cancelling = 0
        self._triggered = False

    def __enter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("an interrupt guards one block at a time")
        self._loop = running(self._loop)
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an interrupt needs a running task")
        self._task = task
        self._cancelling = task.cancelling()
        self._triggered = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (
            self._triggered
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise Interrupted from error

    def trigger(self) -> None:
        """End the block, if one is entered, with `Interrupted` at its present await.

        From within the block itself it ends at the next await that waits, or not at all if there is none.
        """
        if self._task is None or self._triggered:
            return
        if asyncio.current_task(self._loop) is self._task:
            # A running task that cancels itself would meet that at any later await, outside of the block too.
            self.trigger_in(0)
            return
        self._triggered = True
        self._task.cancel()

    def trigger_in(self, delay_s: float) -> None:
        """End the block after this time, unless it has ended by then; the earliest call counts."""
        if self._task is None or (loop := self._loop) is None:
            return
        when = loop.time() + delay_s
        if self._timer is not None:
            # Kept apart: uvloop's handle of what is due at once does not know its time.
            if self._due <= when:
                return
            self._timer.cancel()
        self._due = when
        self._timer = loop.call_at(when, self.trigger)
