from __future__ import annotations

import asyncio

import pytest

from node.observability.backlog import Backlog
from node.runtime.signals import Signal
from tests.support.virtual_time import in_virtual_time


def test_the_oldest_make_room_and_are_counted() -> None:
    backlog = Backlog[int](3)
    for number in range(5):
        backlog.add(number)
    assert backlog.dropped == 2
    taken = backlog.take(2)
    assert taken == [2, 3]
    backlog.add(5)
    backlog.give_back(taken)
    assert backlog.dropped == 3
    assert backlog.take(9) == [3, 4, 5]
    backlog.drop()
    backlog.add(6)
    backlog.discard()
    assert (backlog.dropped, len(backlog)) == (5, 0)


@in_virtual_time
async def test_work_ends_when_all_is_sent_after_the_stop() -> None:
    backlog, stop, sent = Backlog[int](10), Signal(), list[int]()

    async def work() -> None:
        while await backlog.wait():
            sent.extend(backlog.take(1))
            await asyncio.sleep(1)

    task = asyncio.create_task(backlog.emptied_by(work(), stop, lambda: 5.0))
    for number in range(3):
        backlog.add(number)
    await asyncio.sleep(0.5)
    stop.set()
    await task
    assert sent == [0, 1, 2]
    assert backlog.dropped == 0


@in_virtual_time
async def test_work_that_does_not_end_is_ended_and_the_rest_dropped() -> None:
    backlog, stop, loop = Backlog[int](10), Signal(), asyncio.get_running_loop()
    tries = 0

    async def work() -> None:
        nonlocal tries
        while await backlog.wait():
            tries += 1
            await backlog.rest(60.0)

    backlog.add(1)
    task = asyncio.create_task(backlog.emptied_by(work(), stop, lambda: 5.0))
    await asyncio.sleep(100)
    assert tries == 2
    stop.set()
    began = loop.time()
    await task
    assert loop.time() - began == pytest.approx(5.0)
    assert 10 < tries < 40
    assert backlog.dropped == 1


@in_virtual_time
async def test_a_stop_with_nothing_waiting_ends_at_once_and_defects_are_not_hidden() -> None:
    backlog, stop = Backlog[int](10), Signal()

    async def work() -> None:
        assert not await backlog.wait()
        raise LookupError("a defect")

    stop.set()
    with pytest.raises(LookupError):
        await backlog.emptied_by(work(), stop, lambda: 5.0)
