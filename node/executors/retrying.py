"""Repeats a call to an engine that failed before it said anything."""

from __future__ import annotations

import asyncio
from typing import Final

from node.domain.errors import EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.jobs import Payload
from node.domain.policies import BackOff
from node.domain.results import Output
from node.executors.engine_calls import EngineAbsent
from node.executors.progress import EngineSilent
from node.executors.watched_pieces import WatchedPieces
from node.ports.clock import Random
from node.ports.executor import Executor, Partials

_LONGEST_S: Final = 30.0
_START_S: Final = 1.0


class Retrying:
    """Calls again, up to ``retries`` times more, when the engine failed or was full before the first piece.

    The waits between are drawn from ``back_off``, and last as long as a full engine asks for at least; one that asks
    for more than 30 s is not called again. They count against the caller's deadline, whose cancellation ends them. What the
    engine refused is not repeated, nor what was declined. An engine that is not there may be on its way back, and is
    waited for 1 s, then twice as long, and so on. What it kept silent at has had its time. Goes around the limits of
    calls at once, so that a call that waits holds no slot.
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
            except (EngineRefused, EngineSilent):
                raise
            except (EngineFailed, EngineOverloaded, EngineAbsent) as error:
                least_s = _least_wait_s(error, attempt)
                if pieces.came or attempt > self._retries or least_s > _LONGEST_S:
                    raise
            await asyncio.sleep(max(least_s, self._back_off.draw(attempt, self._random)))

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the repeated one."""
        await self._executor.aclose()


def _least_wait_s(error: ExecutorError, attempt: int) -> float:
    match error:
        case EngineOverloaded():
            return error.retry_after_s or 0.0
        case EngineAbsent():
            return min(_START_S * 2.0 ** (attempt - 1), _LONGEST_S)
        case _:
            return 0.0
