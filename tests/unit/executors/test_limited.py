from __future__ import annotations

import asyncio
import random

import pytest

from node.domain.errors import EngineFailed, EngineOverloaded
from node.executors.limited import Limited
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors.doubles import Scripted, chat


@in_virtual_time
async def test_calls_over_the_limit_wait_in_order() -> None:
    inner = Scripted(seconds=1)
    limited = Limited(inner, 3)
    loop = asyncio.get_running_loop()
    started = loop.time()
    calls = [asyncio.ensure_future(limited.execute(chat(str(number)))) for number in range(10)]
    await asyncio.sleep(0.5)
    assert limited.waiting == 7
    await asyncio.gather(*calls)
    assert loop.time() - started == pytest.approx(4)
    assert inner.started == [str(number) for number in range(10)]
    assert (inner.peak, limited.waiting) == (3, 0)


@in_virtual_time
async def test_a_newcomer_does_not_overtake() -> None:
    inner = Scripted(seconds=1)
    limited = Limited(inner, 1)
    calls = [asyncio.ensure_future(limited.execute(chat(name))) for name in ("first", "second")]
    await calls[0]
    calls.append(asyncio.ensure_future(limited.execute(chat("late"))))
    await asyncio.gather(*calls)
    assert inner.started == ["first", "second", "late"]


@in_virtual_time
async def test_cancelled_calls_leave_the_queue_and_free_their_slots() -> None:
    inner = Scripted(seconds=1)
    limited = Limited(inner, 2)
    chance = random.Random(5)
    calls = [asyncio.ensure_future(limited.execute(chat(str(number)))) for number in range(200)]
    for _ in range(300):
        chance.choice(calls).cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.1, 0.5]))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ended if isinstance(end, BaseException)} == {asyncio.CancelledError}
    assert (inner.peak, inner.running, limited.waiting) == (2, 0, 0)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(limited.execute(chat("a")), limited.execute(chat("b")))
    assert loop.time() - started == pytest.approx(1), "both slots are free again"


@in_virtual_time
async def test_a_full_queue_refuses() -> None:
    limited = Limited(Scripted("ollama", seconds=1), 1, max_waiting=2)
    calls = [asyncio.ensure_future(limited.execute(chat("x"))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(EngineOverloaded, match="ollama is full: 2 jobs wait for it"):
        await limited.execute(chat("x"))
    calls[2].cancel()
    await asyncio.sleep(0)
    calls.append(asyncio.ensure_future(limited.execute(chat("x"))))
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(end, asyncio.CancelledError) for end in done) == 1


@in_virtual_time
async def test_without_a_queue_only_free_slots_take() -> None:
    limited = Limited(Scripted(seconds=1), 1, max_waiting=0)
    first = asyncio.ensure_future(limited.execute(chat("x")))
    await asyncio.sleep(0)
    with pytest.raises(EngineOverloaded):
        await limited.execute(chat("x"))
    await first
    await limited.execute(chat("x"))


async def test_a_failure_frees_the_slot() -> None:
    inner = Scripted("ollama", error=EngineFailed("broke off"))
    limited = Limited(inner, 1)
    for _ in range(3):
        with pytest.raises(EngineFailed):
            await limited.execute(chat("x"))
    await limited.aclose()
    assert (limited.name, inner.closed) == ("ollama", 1)
