"""Repeats a call to an engine that failed before it said anything."""

from __future__ import annotations

import asyncio
from typing import Final

from node.domain.errors import EngineFailed, EngineOverloaded, EngineRefused
from node.domain.jobs import Payload
from node.domain.policies import BackOff
from node.domain.results import Output
from node.executors.watched_pieces import WatchedPieces
from node.ports.clock import Random
from node.ports.executor import Executor, Partials

_LONGEST_S: Final = 30.0


class Retrying:
    """Calls again, up to ``retries`` times more, when the engine failed or was full before the first piece.

    The waits between are drawn from ``back_off``, and last as long as a full engine asks for at least; one that asks
    for more than 30 s is not called again. They count against the caller's deadline, whose cancellation ends them. What the
    engine refused is not repeated, nor what was declined. Goes around the limits of calls at once, so that a call that
    waits holds no slot.
    """

    def __init__(self, executor: Executor, retries: int, back_off: BackOff, random: Random) -> None:
        self._executor = executor
        self._retries = retries
        self._back_off = back_off
        self._random = random

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the repeated one's."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`; the last attempt's error is the one that is raised."""
        pieces = WatchedPieces(partials)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._executor.execute(payload, pieces)
            except EngineRefused:
                raise
            except (EngineFailed, EngineOverloaded) as error:
                least_s = error.retry_after_s or 0.0 if isinstance(error, EngineOverloaded) else 0.0
                if pieces.came or attempt > self._retries or least_s > _LONGEST_S:
                    raise
            await asyncio.sleep(max(least_s, self._back_off.draw(attempt, self._random)))

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the repeated one."""
        await self._executor.aclose()
