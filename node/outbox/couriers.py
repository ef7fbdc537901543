"""Tasks that carry one errand after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Generic, TypeVar

from node.runtime.running import running
from node.runtime.tasks import TaskOwner

Errand = TypeVar("Errand")

_MOST_AT_REST: Final = 500


class _Courier(Generic[Errand]):
    """One of the tasks: what it has in hand, and what it waits for while that is nothing."""

    __slots__ = ("errand", "waiter")

    def __init__(self, errand: Errand) -> None:
        self.errand: Errand | None = errand
        self.waiter: asyncio.Future[None] | None = None


class Couriers(Generic[Errand]):
    """Tasks for work that comes all the time, since a task takes longer to begin and to end than many an errand.

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
        self._at_rest: list[_Courier[Errand]] = []
        """Those who have nothing to carry; the last to come is the first to go."""
        self._is_open = True

    def hand(self, errand: Errand) -> None:
        """Have this carried."""
        while self._at_rest:
            courier = self._at_rest.pop()
            waiter = courier.waiter
            if waiter is not None and not waiter.done():
                courier.errand = errand
                waiter.set_result(None)
                return
        courier = _Courier(errand)
        self._tasks.start(self._work(courier), self._name, partial(self._end, courier, None))

    def open(self) -> None:
        """Keep those who have nothing to carry, as from the beginning."""
        self._is_open = True

    def dismiss(self) -> None:
        """Let those end who have nothing to carry, and the others when they are done with what they have; until `open`."""
        self._is_open = False
        for courier in self._at_rest:
            waiter = courier.waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        self._at_rest.clear()

    async def _work(self, courier: _Courier[Errand]) -> None:
        while courier.errand is not None:
            try:
                await self._carry(courier.errand)
            except Exception as error:  # noqa: BLE001 - whoever handed it over tells of it
                self._end(courier, error)
            else:
                self._end(courier, None)
            if not self._is_open or len(self._at_rest) >= _MOST_AT_REST:
                return
            loop = self._loop = running(self._loop)
            waiter = courier.waiter = loop.create_future()
            self._at_rest.append(courier)
            await waiter

    def _end(self, courier: _Courier[Errand], defect: Exception | None) -> None:
        """What a courier has in hand has ended; one that is cut has it still, begun or not."""
        errand, courier.errand = courier.errand, None
        if errand is not None:
            self._on_end(errand, defect)
