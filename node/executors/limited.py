"""A limit of calls that run at the same time."""

from __future__ import annotations

import asyncio

from node.domain.errors import EngineOverloaded
from node.domain.jobs import Payload
from node.domain.results import Output
from node.ports.executor import Executor, Partials


class Limited:
    """Lets ``limit`` calls run at once; others wait in the order of their coming.

    One object for a whole fleet makes the limit, 1 or more, fleet-wide. ``max_waiting`` bounds the queue, None
    leaves it open. The wait counts against the caller's deadline, whose cancellation takes it out of the queue.
    """

    def __init__(self, executor: Executor, limit: int, max_waiting: int | None = None) -> None:
        self._executor = executor
        self._limit = limit
        self._max_waiting = max_waiting
        self._slots = asyncio.Semaphore(limit)
        self._waiting = 0
        self._running = 0

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the limited one's."""
        return self._executor.name

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return self._waiting

    @property
    def free(self) -> int:
        """How many more calls would run at once; below 0 the number of those that wait."""
        return self._limit - self._running - self._waiting

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            EngineOverloaded: the queue is full, or the engine is.
        """
        if self._max_waiting is not None and self._slots.locked() and self._waiting >= self._max_waiting:
            raise EngineOverloaded(f"{self.name} is full: {self._waiting} jobs wait for it")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            return await self._executor.execute(payload, partials)
        finally:
            self._running -= 1
            self._slots.release()

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the limited one."""
        await self._executor.aclose()
