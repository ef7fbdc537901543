from __future__ import annotations

import asyncio
import random

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.policies import BackOff
from node.executors.engine_calls import EngineAbsent
from node.executors.progress import EngineSilent
from node.executors.retrying import Retrying
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.engine_doubles import Engine, texts

BROKEN = EngineFailed("broke off")
FULL = EngineOverloaded("full")


class LongestWaits(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def retrying(engine: Engine, retries: int = 3) -> Retrying:
    return Retrying(engine, retries, BackOff(base_s=1.0, cap_s=3.0), LongestWaits())


@pytest.mark.parametrize("error", [BROKEN, FULL])
@in_virtual_time
async def test_it_is_tried_again_until_it_works(error: ExecutorError) -> None:
    engine = Engine([error], [error], [error], ["fine"])
    pieces = Pieces()
    started = asyncio.get_running_loop().time()
    await retrying(engine).execute(chat("hello"), pieces)
    assert pieces.texts == ["fine"]
    assert len(engine.asked) == 4
    assert asyncio.get_running_loop().time() - started == pytest.approx(1 + 2 + 3)


@pytest.mark.parametrize("retries", [0, 1, 3])
@in_virtual_time
async def test_attempts_have_an_end_and_the_last_error_is_told(retries: int) -> None:
    errors = [EngineFailed(f"failure {number}") for number in range(5)]
    engine = Engine(*([error] for error in errors))
    with pytest.raises(EngineFailed) as raised:
        await retrying(engine, retries).execute(chat("hello"))
    assert raised.value is errors[retries]
    assert len(engine.asked) == retries + 1


@pytest.mark.parametrize("pieces", [Pieces(), None])
@in_virtual_time
async def test_an_answer_that_has_begun_is_not_begun_again(pieces: Pieces | None) -> None:
    engine = Engine(["It", BROKEN], ["fine"])
    with pytest.raises(EngineFailed):
        await retrying(engine).execute(chat("hello"), pieces)
    assert len(engine.asked) == 1


@in_virtual_time
async def test_a_piece_in_a_later_attempt_counts_too() -> None:
    engine = Engine([BROKEN], ["It", BROKEN], ["fine"])
    with pytest.raises(EngineFailed):
        await retrying(engine).execute(chat("hello"), Pieces())
    assert len(engine.asked) == 2


@in_virtual_time
async def test_embeddings_are_always_repeated() -> None:
    engine = Engine(["x", BROKEN], ["x", FULL], [])
    await retrying(engine).execute(texts("a"), Pieces())
    assert len(engine.asked) == 3


@pytest.mark.parametrize("error", [Declined("not mine"), EngineRefused("bad request"), EngineSilent("nothing")])
@in_virtual_time
async def test_what_repeating_cannot_heal_is_not_repeated(error: ExecutorError) -> None:
    engine = Engine([error], ["fine"])
    with pytest.raises(type(error)):
        await retrying(engine).execute(chat("hello"))
    assert len(engine.asked) == 1


@in_virtual_time
async def test_a_wait_ends_with_the_call() -> None:
    engine = Engine([BROKEN])
    call = asyncio.ensure_future(retrying(engine).execute(chat("hello")))
    await asyncio.sleep(0.5)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    await asyncio.sleep(100)
    assert len(engine.asked) == 1


@in_virtual_time
async def test_a_full_engine_is_left_alone_for_as_long_as_it_asks() -> None:
    engine = Engine([EngineOverloaded("full", 20.0)], [EngineOverloaded("full", 0.5)], ["fine"])
    started = asyncio.get_running_loop().time()
    await retrying(engine).execute(chat("hello"))
    assert asyncio.get_running_loop().time() - started == pytest.approx(20 + 2)


@in_virtual_time
async def test_one_that_is_not_there_has_time_to_come_back() -> None:
    gone = EngineAbsent("started anew just now")
    engine = Engine([gone], [gone], [gone], ["fine"])
    started = asyncio.get_running_loop().time()
    await Retrying(engine, 3, BackOff(base_s=0.5), random.Random(1)).execute(chat("hello"))
    assert asyncio.get_running_loop().time() - started == pytest.approx(1 + 2 + 4)


@in_virtual_time
async def test_one_that_asks_for_too_much_is_not_asked_again() -> None:
    engine = Engine([EngineOverloaded("full", 30.5)], ["fine"])
    with pytest.raises(EngineOverloaded):
        await retrying(engine).execute(chat("hello"))
    assert len(engine.asked) == 1
