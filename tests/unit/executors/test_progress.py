from __future__ import annotations

import asyncio

import pytest

from node.domain.errors import EngineFailed
from node.domain.results import Generation
from node.executors.progress import Progressing, ProgressPolicy
from node.ports.executor import Partials
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.engine_doubles import FOREVER, Engine, SlowTaker, texts


def progressing(engine: Engine, first: float | None = 180, silent: float | None = 30, whole: float | None = None):
    return Progressing(engine, ProgressPolicy(first, silent, whole), VirtualClock())


@in_virtual_time
async def test_an_engine_that_never_begins_is_given_up() -> None:
    engine = Engine([FOREVER])
    started = asyncio.get_running_loop().time()
    with pytest.raises(EngineFailed, match=r"^engine said nothing for 180 s$"):
        await progressing(engine).execute(chat("hello"), Pieces())
    assert asyncio.get_running_loop().time() - started == pytest.approx(180)
    assert (engine.cancelled, engine.running) == (1, 0)


@in_virtual_time
async def test_a_model_may_load_for_long_and_then_speak_slowly() -> None:
    engine = Engine([179.0, "a", 29.0, "b", 29.0, "c", 29.0])
    assert (await progressing(engine).execute(chat("hello"))).text == "abc"  # type: ignore[union-attr]


@pytest.mark.parametrize("steps", [["a", FOREVER], ["a", 29.0, "b", 31.0, "c"]])
@in_virtual_time
async def test_silence_in_an_answer_ends_it(steps: list[str | float]) -> None:
    engine = Engine(steps)
    with pytest.raises(EngineFailed, match=r"^engine said nothing for 30 s$"):
        await progressing(engine).execute(chat("hello"), Pieces())
    assert engine.cancelled == 1


@in_virtual_time
async def test_a_slow_taker_is_not_the_engines_silence() -> None:
    taker = SlowTaker(500)
    answer = await progressing(Engine(["a", 29.0, "b", 29.0])).execute(chat("hello"), taker)
    assert isinstance(answer, Generation)
    assert taker.texts == ["a", "b"]
    with pytest.raises(EngineFailed, match="nothing for 30 s"):
        await progressing(Engine(["a", 31.0])).execute(chat("hello"), SlowTaker(500))


@in_virtual_time
async def test_embeddings_come_at_once_or_not_at_all() -> None:
    assert await progressing(Engine([179.0])).execute(texts("a"))
    with pytest.raises(EngineFailed, match="nothing for 180 s"):
        await progressing(Engine([181.0])).execute(texts("a"))


@pytest.mark.parametrize("off", [0, None])
@in_virtual_time
async def test_limits_can_be_off(off: float | None) -> None:
    await progressing(Engine([1e6, "a", 29.0]), first=off).execute(chat("hello"))
    with pytest.raises(EngineFailed):
        await progressing(Engine([1e6, "a", 31.0]), first=off).execute(chat("hello"))
    await progressing(Engine([179.0, "a", 1e6]), silent=off).execute(chat("hello"), SlowTaker(1))
    await progressing(Engine([1e6, "a", 1e6]), first=off, silent=off, whole=off).execute(chat("hello"))


@in_virtual_time
async def test_a_whole_call_can_be_limited() -> None:
    engine = Engine(["a", 10.0] * 100)
    with pytest.raises(EngineFailed, match=r"^engine was not done within 300 s$"):
        await progressing(engine, whole=300).execute(chat("hello"))
    with pytest.raises(EngineFailed, match="not done within 300 s"):
        await progressing(Engine(["a"]), whole=300).execute(chat("hello"), SlowTaker(301))
    assert engine.cancelled == 1


@in_virtual_time
async def test_two_limits_at_once_end_a_call_once() -> None:
    with pytest.raises(EngineFailed):
        await progressing(Engine([FOREVER]), first=30, whole=30).execute(chat("hello"))
    await asyncio.sleep(1)


class Stubborn(Engine):
    """Says one more thing when it is cancelled."""

    async def execute(self, payload: object, partials: Partials | None = None) -> Generation:
        assert partials is not None
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            await partials.push("wait")
            raise
        raise AssertionError


@in_virtual_time
async def test_a_piece_that_comes_too_late_changes_nothing() -> None:
    pieces = Pieces()
    with pytest.raises(EngineFailed, match="nothing for 180 s"):
        await progressing(Stubborn()).execute(chat("hello"), pieces)
    assert pieces.texts == ["wait"]


@in_virtual_time
async def test_a_cancellation_that_meets_the_limit_stays_one() -> None:
    call = asyncio.ensure_future(progressing(Engine([FOREVER])).execute(chat("hello")))
    asyncio.get_running_loop().call_later(180, call.cancel)
    await asyncio.sleep(181)
    assert call.cancelled()


def test_limits_are_not_negative() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        ProgressPolicy(silent_s=-1)
