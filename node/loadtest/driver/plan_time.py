"""The time of a plan: it begins once, and stands still while the run is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.runtime.signals import Signal

_TICK_S: Final = 0.001
"""Timers may come so much early; who is awake does not sleep again for that."""


class PlanTime:
    """What submissions, orders to nodes, faults and the end of the load wait on. Its seconds are the plan's.

    ``now`` is the run's own clock, Unix seconds that no step moves.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._zero: float | None = None
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._is_over = False
        self._changed = Signal()

    @property
    def has_begun(self) -> bool:
        """Whether the time of its beginning is known, be that ahead."""
        return self._zero is not None

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return self._paused_at is not None

    @property
    def now_s(self) -> float:
        """The plan's time, below 0 before its beginning."""
        return (self._now() if self._paused_at is None else self._paused_at) - self._start()

    @property
    def paused_s(self) -> float:
        """For how long it has stood still, all together."""
        return self._paused_s + (0.0 if self._paused_at is None else self._now() - self._paused_at)

    def due(self, at_s: float) -> float:
        """When a time of the plan is or was, in Unix seconds, unless there will be a pause before it."""
        stands_s = 0.0 if self._paused_at is None else self._now() - self._paused_at
        return self._start() + stands_s + at_s

    def begin(self, at: float) -> None:
        """Time 0 is then, in Unix seconds; to be called once."""
        self._zero = at

    def pause(self) -> bool:
        """Stand still from now on; whether it does so by this, which it does not when it is ended."""
        if self._is_over or self._paused_at is not None:
            return False
        self._paused_at = self._now()
        return True

    def resume(self) -> bool:
        """Go on; whether it stood still."""
        if self._paused_at is None:
            return False
        stood_s = self._now() - self._paused_at
        self._paused_at = None
        self._paused_s += stood_s
        self._zero = self._start() + stood_s
        self._wake()
        return True

    def end(self) -> None:
        """Nobody waits any more, now or later."""
        self._is_over = True
        if not self.resume():
            self._wake()

    async def until(self, at_s: float) -> bool:
        """Wait for a time of the plan; false when it is ended before. Always gives other tasks a turn.

        While it stands still that time does not come, even where it is past.
        """
        was_asleep = False
        while not self._is_over:
            left_s = at_s - self.now_s
            if self._paused_at is not None:
                await self._changed.wait()
            elif was_asleep and left_s <= _TICK_S:
                return True
            else:
                await self._changed.wait(max(0.0, left_s))
            was_asleep = True
        return False

    def _start(self) -> float:
        if self._zero is None:
            raise RuntimeError("the plan's time has not begun")
        return self._zero

    def _wake(self) -> None:
        changed, self._changed = self._changed, Signal()
        changed.set()
