"""What is asked of a load test while it is judged."""

from __future__ import annotations

import asyncio

import pytest

from node.app.loadtest.orders import Orders, unless_aborted
from tests.support.virtual_time import in_virtual_time


async def judging() -> str:
    await asyncio.sleep(100)
    return "judged"


@in_virtual_time
async def test_a_stop_does_not_shorten_what_is_judged() -> None:
    orders = Orders()
    asyncio.get_running_loop().call_later(1, orders.stop)
    assert await unless_aborted(judging(), "judge", orders) == "judged"
    orders.abort()
    assert orders.is_aborted


@pytest.mark.parametrize("when_s", [0, 1])
def test_an_abort_ends_it(when_s: float) -> None:
    @in_virtual_time
    async def check() -> None:
        loop, orders = asyncio.get_running_loop(), Orders()
        began = loop.time()
        if when_s:
            loop.call_later(when_s, orders.abort)
        else:
            orders.abort()
        assert await unless_aborted(judging(), "judge", orders) is None
        assert loop.time() - began == when_s

    check()


@in_virtual_time
async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    waiting = asyncio.create_task(unless_aborted(judging(), "judge", Orders()))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "judge"] == []


@in_virtual_time
async def test_a_fault_of_it_is_the_callers() -> None:
    async def broken() -> None:
        raise ArithmeticError("a defect")

    with pytest.raises(ArithmeticError):
        await unless_aborted(broken(), "judge", Orders())
