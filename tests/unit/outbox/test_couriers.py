"""Couriers: errands are carried by tasks that stay, and none is forgotten."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.domain.events import Crash
from node.outbox.couriers import Couriers
from node.runtime.tasks import TaskOwner
from tests.support.virtual_time import in_virtual_time


class Office:
    """Hands out errands: each waits for a gate of its name, and those named in ``defects`` fail."""

    def __init__(self) -> None:
        self.crashes: list[Crash] = []
        self.tasks = TaskOwner(self.crashes.append)
        self.couriers = Couriers[str](self.tasks, "courier", self._carry, self._on_end)
        self.gates: dict[str, asyncio.Event] = {}
        self.defects: set[str] = set()
        self.carried: list[tuple[str, asyncio.Task[None]]] = []
        self.ended: list[tuple[str, str]] = []

    async def hand(self, *errands: str) -> None:
        for errand in errands:
            self.couriers.hand(errand)
        await self.turns()

    async def open(self, *errands: str) -> None:
        for errand in errands:
            self.gates[errand].set()
        await self.turns()

    @staticmethod
    async def turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def names(self) -> list[str]:
        return [errand for errand, _ in self.ended]

    async def _carry(self, errand: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.carried.append((errand, task))
        gate = self.gates.setdefault(errand, asyncio.Event())
        await gate.wait()
        if errand in self.defects:
            raise KeyError(errand)

    def _on_end(self, errand: str, defect: Exception | None) -> None:
        self.ended.append((errand, "" if defect is None else type(defect).__name__))


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    it = Office()
    try:
        yield it
    finally:
        await it.tasks.cancel()
    assert not it.crashes


@in_virtual_time
async def test_one_courier_carries_one_errand_after_the_other() -> None:
    async with office() as it:
        for name in "abc":
            await it.hand(name)
            await it.open(name)
        assert it.ended == [("a", ""), ("b", ""), ("c", "")]
        assert len({task for _, task in it.carried}) == 1


@in_virtual_time
async def test_as_many_errands_as_there_are_are_carried_at_once() -> None:
    async with office() as it:
        await it.hand("a", "b", "c")
        assert len({task for _, task in it.carried}) == len(it.carried) == 3
        await it.open("b")
        await it.hand("d")
        assert it.carried[3][1] is it.carried[1][1]


@in_virtual_time
async def test_a_defect_is_told_with_its_errand_and_ends_no_courier() -> None:
    async with office() as it:
        it.defects.add("a")
        await it.hand("a")
        await it.open("a")
        await it.hand("b")
        await it.open("b")
        assert it.ended == [("a", "KeyError"), ("b", "")]
        assert it.carried[0][1] is it.carried[1][1]


@in_virtual_time
async def test_dismissed_couriers_end_when_they_have_nothing_to_carry() -> None:
    async with office() as it:
        await it.hand("a", "b")
        await it.open("a")
        it.couriers.dismiss()
        await it.turns()
        assert len(it.tasks) == 1
        await it.open("b")
        await it.tasks.join()
        assert it.ended == [("a", ""), ("b", "")]
        it.couriers.open()
        for name in "cd":
            await it.hand(name)
            await it.open(name)
        assert it.carried[2][1] is it.carried[3][1]


@in_virtual_time
async def test_an_errand_that_is_cut_has_ended_whether_it_was_begun_or_not() -> None:
    async with office() as it:
        await it.hand("begun", "a")
        await it.open("a")
        it.couriers.hand("just handed over")
        await it.tasks.cancel()
        assert it.carried[-1][0] == "a"
        assert sorted(it.ended) == [("a", ""), ("begun", ""), ("just handed over", "")]


@in_virtual_time
async def test_an_errand_whose_courier_is_cut_before_its_first_turn_has_ended() -> None:
    async with office() as it:
        it.couriers.hand("a")
        await it.tasks.cancel()
        assert it.carried == []
        assert it.ended == [("a", "")]


@in_virtual_time
async def test_a_courier_that_was_ended_at_rest_gets_no_errand() -> None:
    async with office() as it:
        await it.hand("a")
        await it.open("a")
        it.carried[0][1].cancel()
        await it.hand("b")
        await it.open("b")
        assert it.names == ["a", "b"]
        assert it.carried[1][1] is not it.carried[0][1]


@pytest.mark.parametrize("defect", [False, True])
@in_virtual_time
async def test_what_was_carried_is_let_go_of_while_its_courier_rests(defect: bool) -> None:
    class Parcel:
        """Something large."""

    async def carry(_: Parcel) -> None:
        if defect:
            raise KeyError

    tasks = TaskOwner(print)
    couriers = Couriers[Parcel](tasks, "courier", carry, lambda _errand, _defect: None)
    parcel = Parcel()
    held = weakref.ref(parcel)
    couriers.hand(parcel)
    del parcel
    await Office.turns()
    assert len(tasks) == 1
    assert held() is None
    await tasks.cancel()


@pytest.mark.interpreted
@in_virtual_time
async def test_no_more_rest_than_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.outbox.couriers._MOST_AT_REST", 2)
    async with office() as it:
        await it.hand(*"abcde")
        await it.open(*"abcde")
        assert sorted(it.names) == list("abcde")
        assert len(it.tasks) == 2
