from __future__ import annotations

import asyncio

import pytest

from node.runtime.signals import Bell, Signal
from tests.support.virtual_time import in_virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_ring_ends_the_wait_at_once() -> None:
    bell = Bell()
    started = now()
    asyncio.get_running_loop().call_later(3, bell.ring)
    assert await bell.wait(60)
    assert now() - started == pytest.approx(3)


@in_virtual_time
async def test_a_wait_without_a_ring_ends_with_its_time() -> None:
    bell = Bell()
    started = now()
    assert not await bell.wait(60)
    assert now() - started == pytest.approx(60)


@in_virtual_time
async def test_a_ring_is_kept_for_the_next_wait_and_for_that_one_alone() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.wait()
    assert not await bell.wait(1)


@in_virtual_time
async def test_a_wait_of_no_time_gives_others_a_turn() -> None:
    bell = Bell()
    seen: list[str] = []
    asyncio.get_running_loop().call_soon(seen.append, "other")
    assert not await bell.wait(0)
    assert seen == ["other"]


@in_virtual_time
async def test_a_kept_ring_gives_others_a_turn() -> None:
    bell = Bell()
    bell.ring()
    seen: list[str] = []
    asyncio.get_running_loop().call_soon(seen.append, "other")
    assert await bell.wait()
    assert seen == ["other"]


@in_virtual_time
async def test_a_bell_wakes_one_task_at_a_time() -> None:
    bell = Bell()
    first = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one task"):
        await bell.wait()
    bell.ring()
    assert await first


@in_virtual_time
async def test_a_cancelled_wait_leaves_the_bell_usable_and_keeps_the_ring_it_met() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(60))
    await asyncio.sleep(0)
    bell.ring()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await bell.wait(1)


@in_virtual_time
async def test_a_ring_between_the_time_out_and_the_waking_is_told() -> None:
    bell = Bell()
    loop = asyncio.get_running_loop()
    loop.call_later(5, bell.ring)
    assert await bell.wait(5)
    assert not await bell.wait(1)


@in_virtual_time
async def test_a_signal_wakes_all_who_wait_and_stays() -> None:
    signal = Signal()
    waiters = [asyncio.create_task(signal.wait()) for _ in range(3)]
    timed = asyncio.create_task(signal.wait(60))
    await asyncio.sleep(1)
    assert not signal.is_set
    signal.set()
    signal.set()
    assert [await waiter for waiter in waiters] == [True] * 3
    assert await timed
    assert signal.is_set
    assert await signal.wait(60)


@in_virtual_time
async def test_a_signal_that_is_not_set_lets_go_when_the_time_is_over() -> None:
    signal = Signal()
    started = now()
    assert not await signal.wait(7)
    assert now() - started == pytest.approx(7)


@in_virtual_time
async def test_a_waiter_that_was_cancelled_does_not_hold_up_the_others() -> None:
    signal = Signal()
    first, second = (asyncio.create_task(signal.wait(60)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    signal.set()
    assert await second
    assert first.cancelled()
