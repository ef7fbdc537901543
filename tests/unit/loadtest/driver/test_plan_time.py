"""The plan's time: when it comes, while it stands still, and when it is ended."""

from __future__ import annotations

import asyncio

import pytest

from node.loadtest.driver.plan_time import PlanTime
from tests.support.virtual_time import START, in_virtual_time


def now() -> float:
    return 1000.0 + asyncio.get_running_loop().time() - START


def begun(in_s: float = 0.0) -> PlanTime:
    time = PlanTime(now)
    time.begin(now() + in_s)
    return time


def after(seconds: float, act: object) -> None:
    assert callable(act)
    asyncio.get_running_loop().call_later(seconds, act)


@in_virtual_time
async def test_a_time_comes_when_it_is_due_and_a_past_one_at_once() -> None:
    time = begun(in_s=2.0)
    assert time.now_s == pytest.approx(-2)
    assert await time.until(0.0)
    assert now() == pytest.approx(1002)
    assert await time.until(3.0)
    assert now() == pytest.approx(1005)
    assert await time.until(1.0)
    assert now() == pytest.approx(1005)


@in_virtual_time
async def test_even_a_past_time_gives_others_a_turn() -> None:
    time, turns = begun(), []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await time.until(0.0)
    assert turns == [1]


@in_virtual_time
async def test_a_pause_puts_all_that_follows_off() -> None:
    time = begun()
    after(1.0, time.pause)
    after(4.5, time.resume)
    assert await time.until(2.0)
    assert now() == pytest.approx(1005.5)
    assert time.now_s == pytest.approx(2)
    assert time.paused_s == pytest.approx(3.5)
    assert time.due(2.0) == pytest.approx(1005.5)


@in_virtual_time
async def test_a_pause_that_is_over_before_the_time_is_due_counts_too() -> None:
    time = begun()
    for start in (0.5, 1.5):
        after(start, time.pause)
        after(start + 0.25, time.resume)
    assert await time.until(5.0)
    assert now() == pytest.approx(1005.5)
    assert time.paused_s == pytest.approx(0.5)


@in_virtual_time
async def test_while_it_stands_still_not_even_a_past_time_comes() -> None:
    time = begun()
    await asyncio.sleep(3)
    assert time.pause()
    assert not time.pause()
    after(2.0, time.resume)
    assert await time.until(1.0)
    assert now() == pytest.approx(1005)
    assert time.now_s == pytest.approx(3)


@in_virtual_time
async def test_what_it_tells_while_it_stands_still() -> None:
    time = begun()
    await asyncio.sleep(1)
    time.pause()
    await asyncio.sleep(4)
    assert time.is_paused
    assert time.now_s == pytest.approx(1)
    assert time.paused_s == pytest.approx(4)
    assert time.due(3.0) == pytest.approx(1007)


@pytest.mark.parametrize("is_paused", [False, True])
def test_its_end_wakes_all_who_wait(is_paused: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        time = begun()
        if is_paused:
            after(1.0, time.pause)
        after(3.0, time.end)
        waiting = [asyncio.create_task(time.until(at_s)) for at_s in (10.0, 20.0)]
        assert await asyncio.gather(*waiting) == [False, False]
        assert now() == pytest.approx(1003)
        assert not time.is_paused
        assert not time.pause()
        assert not time.resume()
        assert not await time.until(0.0)

    check()


@in_virtual_time
async def test_it_can_be_ended_before_it_begins() -> None:
    time = PlanTime(now)
    assert not time.has_begun
    time.end()
    time.begin(now() + 1)
    assert not await time.until(0.0)
    assert now() == pytest.approx(1000)


@in_virtual_time
async def test_nobody_knows_it_before_its_beginning() -> None:
    with pytest.raises(RuntimeError, match="not begun"):
        _ = PlanTime(now).now_s
