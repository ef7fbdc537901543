"""How late the event loop is."""

from __future__ import annotations

from collections import deque

from node.ports.clock import Clock
from node.runtime.signals import Signal


class LoopLag:
    """Sets a timer every ``interval_s`` and measures how late it fires: what blocks the loop shows here.

    The figures are seconds; `max_s` is of the last ``window_s``, and counts a timer that is overdue right now.
    """

    def __init__(self, clock: Clock, interval_s: float = 0.5, window_s: float = 60.0) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._window_s = window_s
        self._lags: deque[tuple[float, float]] = deque()
        self._due: float | None = None
        self._last_s = 0.0

    @property
    def last_s(self) -> float:
        """How late the last timer was, or the one that is overdue right now."""
        return max(self._last_s, self._overdue_s())

    @property
    def max_s(self) -> float:
        """The worst of the window; 0 while nothing was measured."""
        self._forget()
        return max([lag for _, lag in self._lags] + [self._overdue_s()])

    def worst_since_s(self, since: float) -> float:
        """The worst that was measured after this time of the clock, in the window at most."""
        return max([lag for at, lag in self._lags if at >= since] + [self._overdue_s()])

    async def run(self, stop: Signal) -> None:
        """Measure until ``stop``."""
        try:
            while not stop.is_set:
                self._due = due = self._clock.monotonic() + self._interval_s
                if await stop.wait(self._interval_s):
                    return
                now = self._clock.monotonic()
                self._last_s = max(0.0, now - due)
                self._lags.append((now, self._last_s))
                self._forget()
        finally:
            self._due = None

    def _overdue_s(self) -> float:
        return 0.0 if self._due is None else max(0.0, self._clock.monotonic() - self._due)

    def _forget(self) -> None:
        since = self._clock.monotonic() - self._window_s
        while self._lags and self._lags[0][0] < since:
            self._lags.popleft()
