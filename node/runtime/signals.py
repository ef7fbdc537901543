"""Waits that end at once when there is a reason."""

from __future__ import annotations

import asyncio

from node.runtime.running import running


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Bell:
    """Wakes the one task that waits on it; a ring while nobody waits is kept for the next wait.

    A wait costs a future and, with a time-out, a timer: cheap enough for every turn of a node's loop.
    """

    __slots__ = ("_loop", "_rung", "_waiter")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiting task, or let the next wait end at once."""
        self._rung = True
        if self._waiter is not None:
            _wake(self._waiter)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a ring, ``timeout_s`` at most; whether it rang. Always gives other tasks a turn.

        Raises:
            RuntimeError: another task waits already.
        """
        if self._waiter is not None:
            raise RuntimeError("a bell wakes one task at a time")
        loop = self._loop = running(self._loop)
        waiter = self._waiter = loop.create_future()
        timer = None
        if self._rung or (timeout_s is not None and timeout_s <= 0):
            loop.call_soon(_wake, waiter)
        elif timeout_s is not None:
            timer = loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        rung, self._rung = self._rung, False
        return rung


class Signal:
    """A flag that is set once and stays: what ends loops and the sleeps in them, for any number of waiters."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: dict[asyncio.Future[None], None] = {}

    @property
    def is_set(self) -> bool:
        """Whether it has been set."""
        return self._is_set

    def set(self) -> None:
        """Set the flag and wake all who wait."""
        self._is_set = True
        for waiter in self._waiters:
            _wake(waiter)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set, ``timeout_s`` at most; whether it is."""
        if self._is_set:
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters[waiter] = None
        timer = None if timeout_s is None else loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            del self._waiters[waiter]
            if timer is not None:
                timer.cancel()
        return self._is_set
