"""When all has settled: no job that could still be done is without its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from node.domain.ids import JobId
from node.loadtest.audit.book import Book
from node.ports.clock import Clock

_AT_ONCE: Final = 200
"""Jobs looked at between two turns of the event loop."""

_FEW: Final = 500
"""Open jobs that the gateway is asked for: what nodes were told is enough as long as there are more."""

_ASK_EVERY_S: Final = 2.0

_MOST: Final = 2000
"""Jobs that are asked for at a time where others do most of them."""

Ask: TypeAlias = Callable[[list[JobId]], Awaitable[None]]
"""Enters into the book which of these jobs have a result."""


class Settling:
    """Looks up in the book which of the submitted jobs are still open; what was done at one look is not looked at again.

    ``models`` gives the models that some node would take a job of; others cannot be claimed and are not waited for.
    Of a job whose node crashed before it heard so nobody but the gateway knows that it was taken: ``ask`` asks it.
    With ``is_alone`` false other processes' nodes do most of the jobs, so that it is asked of all, some at a time.
    A job is done when ``copies`` nodes were told that the gateway has a result.
    """

    def __init__(
        self,
        book: Book,
        models: Callable[[], set[str]],
        ask: Ask,
        clock: Clock,
        *,
        is_alone: bool = True,
        copies: int = 1,
    ) -> None:
        self._book = book
        self._models = models
        self._ask = ask
        self._clock = clock
        self._is_alone = is_alone
        self._copies = copies
        self._asked_at = float("-inf")
        self._next = 0
        """How many of the open jobs were asked for in this round, where it is asked of all."""
        self._open: list[JobId] = []

    def submitted(self, job: JobId) -> None:
        """The gateway has taken this job."""
        self._open.append(job)

    async def is_over(self) -> bool:
        """Whether every job that can be claimed has a result, by what nodes were told or the gateway says."""
        awaited = await self._awaited()
        now = self._clock.monotonic()
        if not self._is_alone:
            return await self._is_over_for_all(awaited, now)
        if not 0 < len(awaited) <= _FEW or now < self._asked_at + _ASK_EVERY_S:
            return not awaited
        self._asked_at = now
        await self._ask(awaited)
        return not await self._awaited()

    async def _is_over_for_all(self, awaited: list[JobId], now: float) -> bool:
        if not awaited or (self._next == 0 and now < self._asked_at + _ASK_EVERY_S):
            return not awaited
        asked = awaited[self._next : self._next + _MOST]
        self._asked_at = now
        await self._ask(asked)
        left = await self._awaited()
        # What was answered is off the list: the rest of it has moved up by as many.
        self._next += len(asked) - (len(awaited) - len(left))
        if self._next >= len(left):
            self._next = 0
        return not left

    async def _awaited(self) -> list[JobId]:
        models = self._models()
        left: list[JobId] = []
        awaited: list[JobId] = []
        # Jobs may still be added meanwhile: they are at the end, and the next look's.
        looked_at = len(self._open)
        for place in range(looked_at):
            job = self._book.view(self._open[place])
            if not (job.is_told_answered(self._copies) or job.said.is_answer):
                left.append(job.job)
                if job.model in models:
                    awaited.append(job.job)
            if place % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        self._open[:looked_at] = left
        return awaited
