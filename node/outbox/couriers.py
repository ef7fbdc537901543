"""Tasks that carry one errand after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from node.runtime.running import running
from node.runtime.tasks import TaskOwner

Errand = TypeVar("Errand")

_MOST_AT_REST: Final = 500


class Couriers(Generic[Errand]):
    """Tasks for work that comes all the time: to begin a task and to end it costs as much as a quarter of a submission.

    ``carry`` makes the work of an errand. ``on_end`` is called with each errand that was handed over when its work has
    ended, in whatever way, and with the defect that ended it, if one did. A defect ends no courier.
    """

    def __init__(
        self,
        tasks: TaskOwner,
        name: str,
        carry: Callable[[Errand], Coroutine[Any, Any, None]],
        on_end: Callable[[Errand, Exception | None], None],
    ) -> None:
        self._tasks = tasks
        self._name = name
        self._carry = carry
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._at_rest: list[asyncio.Future[Errand | None]] = []
        """What each of those waits for who have nothing to carry; the last to come is the first to go."""
        self._is_open = True

    def hand(self, errand: Errand) -> None:
        """Have this carried."""
        while self._at_rest:
            waiter = self._at_rest.pop()
            if not waiter.done():
                waiter.set_result(errand)
                return
        self._tasks.start(self._work(errand), self._name)

    def dismiss(self) -> None:
        """Let those end who have nothing to carry, and the others when they are done with what they have."""
        self._is_open = False
        for waiter in self._at_rest:
            if not waiter.done():
                waiter.set_result(None)
        self._at_rest.clear()

    async def _work(self, first: Errand) -> None:
        errand: Errand | None = first
        while errand is not None:
            try:
                await self._carry(errand)
            except Exception as error:  # noqa: BLE001 - whoever handed it over tells of it
                self._on_end(errand, error)
            except BaseException:
                self._on_end(errand, None)
                raise
            else:
                self._on_end(errand, None)
            if not self._is_open or len(self._at_rest) >= _MOST_AT_REST:
                return
            loop = self._loop = running(self._loop)
            waiter: asyncio.Future[Errand | None] = loop.create_future()
            self._at_rest.append(waiter)
            try:
                errand = await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled() and (unbegun := waiter.result()) is not None:
                    self._on_end(unbegun, None)
                raise
