"""What waits to be sent somewhere, bounded, so that a receiver that is away costs memory and time of nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Generic, TypeVar

from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Bell, Signal

T = TypeVar("T")

_LAST_REST_S: Final = 0.2
"""The longest rest once the end has come."""


class Backlog(Generic[T]):
    """At most ``most`` things, oldest first; when it is full the oldest make room and are counted as dropped.

    One task takes from it; `add` may be called from any code of the loop.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: deque[T] = deque()
        self._bell = Bell()
        self._ended = Signal()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._things)

    def add(self, thing: T) -> None:
        """Put it at the end."""
        self._things.append(thing)
        self._make_room()
        self._bell.ring()

    def take(self, most: int) -> list[T]:
        """Take up to so many from the beginning."""
        return [self._things.popleft() for _ in range(min(most, len(self._things)))]

    def give_back(self, things: Iterable[T]) -> None:
        """Put what could not be sent back at the beginning, in its order."""
        self._things.extendleft(reversed(list(things)))
        self._make_room()

    def drop(self, count: int = 1) -> None:
        """Count something that is not kept."""
        self.dropped += count

    def discard(self) -> None:
        """Drop all that is left."""
        self.drop(len(self._things))
        self._things.clear()

    async def wait(self) -> bool:
        """Wait until something is there; False when the end has come and nothing is left."""
        while not self._things:
            if self._ended.is_set:
                return False
            await self._bell.wait()
        return True

    async def rest(self, seconds: float) -> None:
        """Wait so long before the next try, or until the end comes; after that only shortly."""
        if self._ended.is_set:
            await asyncio.sleep(min(seconds, _LAST_REST_S))
        else:
            await self._ended.wait(seconds)

    async def emptied_by(self, work: Awaitable[None], stop: Signal, left_s: Callable[[], float]) -> None:
        """Await ``work``, which takes until `wait` says False; it has ``left_s`` more once ``stop`` is set.

        What is left then is dropped.
        """
        interrupt = Interrupt()

        async def end() -> None:
            await stop.wait()
            self._ended.set()
            self._bell.ring()
            interrupt.trigger_in(left_s())

        ender = asyncio.get_running_loop().create_task(end(), name="end of a backlog")
        try:
            with interrupt:
                await work
        except Interrupted:
            pass
        finally:
            ender.cancel()
            await asyncio.wait([ender])
        self.discard()

    def _make_room(self) -> None:
        while len(self._things) > self._most:
            self._things.popleft()
            self.dropped += 1
