from __future__ import annotations

import asyncio
import contextlib

import pytest

from node.runtime.interrupt import Interrupt, Interrupted
from tests.support.virtual_time import in_virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_trigger_ends_the_block_and_not_the_task() -> None:
    interrupt = Interrupt()
    asyncio.get_running_loop().call_later(2, interrupt.trigger)
    started = now()
    with pytest.raises(Interrupted), interrupt:
        await asyncio.sleep(60)
    assert now() - started == pytest.approx(2)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_block_that_nothing_ends_runs_to_its_end() -> None:
    with Interrupt():
        await asyncio.sleep(1)


@in_virtual_time
async def test_an_error_of_the_block_passes_as_itself() -> None:
    with pytest.raises(ValueError, match="own"), Interrupt():
        raise ValueError("own")


@in_virtual_time
async def test_a_foreign_cancellation_passes_as_itself() -> None:
    async def work() -> None:
        with Interrupt():
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("first", ["trigger", "cancel"])
def test_a_foreign_cancellation_wins_over_a_trigger_of_the_same_moment(first: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        interrupt = Interrupt()

        async def work() -> None:
            with interrupt:
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        for act in (interrupt.trigger, task.cancel) if first == "trigger" else (task.cancel, interrupt.trigger):
            act()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    scenario()


@in_virtual_time
async def test_an_interrupt_can_be_used_again() -> None:
    interrupt = Interrupt()
    for _ in range(3):
        asyncio.get_running_loop().call_later(1, interrupt.trigger)
        with pytest.raises(Interrupted), interrupt:
            await asyncio.sleep(60)
        with interrupt:
            await asyncio.sleep(1)


@in_virtual_time
async def test_a_trigger_outside_a_block_does_nothing() -> None:
    interrupt = Interrupt()
    interrupt.trigger()
    interrupt.trigger_in(1)
    with interrupt:
        await asyncio.sleep(5)
    interrupt.trigger()
    await asyncio.sleep(1)


@in_virtual_time
async def test_the_second_trigger_does_nothing() -> None:
    interrupt = Interrupt()
    loop = asyncio.get_running_loop()
    loop.call_later(1, interrupt.trigger)
    loop.call_later(1, interrupt.trigger)
    with pytest.raises(Interrupted), interrupt:
        await asyncio.sleep(60)
    await asyncio.sleep(5)


@in_virtual_time
async def test_an_inner_trigger_ends_the_inner_block_alone() -> None:
    outer, inner = Interrupt(), Interrupt()
    asyncio.get_running_loop().call_later(1, inner.trigger)
    with outer:
        with pytest.raises(Interrupted), inner:
            await asyncio.sleep(60)
        await asyncio.sleep(1)


@in_virtual_time
async def test_an_outer_trigger_ends_both_blocks_at_the_outer_one() -> None:
    outer, inner = Interrupt(), Interrupt()
    asyncio.get_running_loop().call_later(1, outer.trigger)
    reached = False

    async def inner_block() -> None:
        nonlocal reached
        try:
            with inner:
                await asyncio.sleep(60)
        except Interrupted:
            reached = True

    with pytest.raises(Interrupted), outer:
        await inner_block()
    assert not reached


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_both_at_once_end_at_the_outer_block(order: tuple[int, int]) -> None:
    @in_virtual_time
    async def scenario() -> None:
        both = Interrupt(), Interrupt()
        for index in order:
            asyncio.get_running_loop().call_later(1, both[index].trigger)
        with pytest.raises(Interrupted), both[0], both[1]:
            await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1)

    scenario()


@in_virtual_time
async def test_a_trigger_after_the_awaited_thing_was_done_still_ends_the_block() -> None:
    interrupt = Interrupt()
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def finish_then_trigger() -> None:
        future.set_result("done")
        interrupt.trigger()

    loop.call_later(1, finish_then_trigger)
    with pytest.raises(Interrupted), interrupt:
        await future
    assert future.result() == "done"
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_block_may_answer_the_trigger_by_itself() -> None:
    interrupt = Interrupt()
    asyncio.get_running_loop().call_later(1, interrupt.trigger)
    with interrupt, contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_trigger_by_the_block_itself_takes_hold_at_its_next_await() -> None:
    interrupt = Interrupt()

    async def block() -> None:
        interrupt.trigger()
        await asyncio.sleep(60)

    with pytest.raises(Interrupted), interrupt:
        await block()
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_trigger_by_a_block_that_waits_for_nothing_more_leaves_nothing_behind() -> None:
    interrupt = Interrupt()
    with interrupt:
        interrupt.trigger()
    await asyncio.sleep(1)
    with interrupt:
        await asyncio.sleep(1)


@in_virtual_time
async def test_time_ends_the_block_and_the_earliest_counts() -> None:
    interrupt = Interrupt()
    started = now()

    async def block() -> None:
        for delay in (9, 3, 6):
            interrupt.trigger_in(delay)
        await asyncio.sleep(60)

    with pytest.raises(Interrupted), interrupt:
        await block()
    assert now() - started == pytest.approx(3)


@in_virtual_time
async def test_a_timer_ends_with_its_block() -> None:
    interrupt = Interrupt()
    with interrupt:
        interrupt.trigger_in(3)
        await asyncio.sleep(1)
    with interrupt:
        await asyncio.sleep(60)


@in_virtual_time
async def test_one_block_at_a_time() -> None:
    interrupt = Interrupt()
    with interrupt, pytest.raises(RuntimeError, match="one block"), interrupt:
        pass


def test_it_needs_a_running_task() -> None:
    loop = asyncio.new_event_loop()
    problems: list[BaseException] = []

    def enter() -> None:
        try:
            with Interrupt():
                pass
        except RuntimeError as error:
            problems.append(error)
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()
    assert "running task" in str(problems[0])
