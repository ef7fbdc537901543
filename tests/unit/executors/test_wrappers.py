"""What everything keeps that goes around an engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from node.domain.circuit import Circuit
from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError, Refused
from node.domain.events import BreakerChanged, FellBack
from node.domain.policies import BackOff
from node.domain.results import Embeddings, Generation
from node.executors.breaker import Breaker
from node.executors.by_model import LimitedByModel, ModelLimit
from node.executors.fallback import Fallback, FallbackRule
from node.executors.model_circuit import BreakerPolicy
from node.executors.progress import Progressing, ProgressPolicy
from node.executors.retrying import Retrying
from node.executors.routing import Route, Routed
from node.executors.rules import Ruled, Rules, RulesPolicy
from node.ports.executor import Executor
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.engine_doubles import FOREVER, Engine, texts


def _all(engine: Executor) -> Executor:
    for wrap in list(WRAPPERS.values())[:-1]:
        engine = wrap(engine)
    return engine


WRAPPERS: dict[str, Callable[[Executor], Executor]] = {
    "progressing": lambda engine: Progressing(engine, ProgressPolicy(), VirtualClock()),
    "breaker": lambda engine: Breaker(engine, BreakerPolicy(), VirtualClock(), RecordingSink()),
    "by model": lambda engine: LimitedByModel(engine, [ModelLimit("gemma*", 2)], 1),
    "retrying": lambda engine: Retrying(engine, 3, BackOff(), random.Random(1)),
    "routed": lambda engine: Routed({"engine": engine}, [Route("gemma*", ("engine",))]),
    "fallback": lambda engine: Fallback(engine, [FallbackRule("*", ("other",))], RecordingSink()),
    "ruled": lambda engine: Ruled(engine, Rules(RulesPolicy(deny=("bomb",), allow=("h",))), RecordingSink()),
    "all of them": _all,
}

every_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())


@every_wrapper
@in_virtual_time
async def test_a_chat_passes_with_its_pieces(wrap: Callable[[Executor], Executor]) -> None:
    pieces = Pieces()
    executor = wrap(Engine(["It", 1.0, " is", 1.0, " so", 1.0]))
    assert await executor.execute(chat("hello"), pieces) == Generation("It is so", "gemma2:2b", "engine")
    assert pieces.texts == ["It", " is", " so"]
    assert await executor.execute(chat("hello")) == Generation("It is so", "gemma2:2b", "engine")
    assert executor.name == "engine"


@every_wrapper
@in_virtual_time
async def test_embeddings_pass(wrap: Callable[[Executor], Executor]) -> None:
    assert await wrap(Engine([1.0])).execute(texts("h", "hh")) == Embeddings(((1.0,), (2.0,)), "nomic", "engine")


@every_wrapper
@in_virtual_time
async def test_cancelling_reaches_the_engine_and_stays_a_cancellation(wrap: Callable[[Executor], Executor]) -> None:
    engine = Engine(["It", FOREVER], ["fine"])
    executor = wrap(engine)
    pieces = Pieces()
    call = asyncio.ensure_future(executor.execute(chat("hello"), pieces))
    await asyncio.sleep(5)
    assert pieces.texts == ["It"]
    call.cancel("by the caller")
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
    assert (engine.cancelled, engine.running, len(engine.asked)) == (1, 0, 1)
    assert (await executor.execute(chat("hello"))).model == "gemma2:2b"


@every_wrapper
@in_virtual_time
async def test_a_callers_time_out_is_its_own(wrap: Callable[[Executor], Executor]) -> None:
    executor = wrap(Engine([FOREVER]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await executor.execute(chat("hello"), Pieces())


@every_wrapper
@in_virtual_time
async def test_what_ends_before_the_first_step_does_no_harm(wrap: Callable[[Executor], Executor]) -> None:
    executor = wrap(Engine())
    call = asyncio.ensure_future(executor.execute(chat("hello")))
    call.cancel()
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
    assert (await executor.execute(chat("hello"))).executor == "engine"


@every_wrapper
@pytest.mark.parametrize("kind", [Declined, EngineFailed, EngineRefused, EngineOverloaded, Refused])
@in_virtual_time
async def test_errors_keep_their_kind_and_say_why(
    wrap: Callable[[Executor], Executor], kind: type[ExecutorError]
) -> None:
    with pytest.raises(kind, match="for a reason") as raised:
        await wrap(Engine([kind("for a reason")])).execute(chat("hello"), Pieces())
    assert type(raised.value) is kind


@every_wrapper
@pytest.mark.parametrize("defect", [KeyError("x"), TimeoutError(), RuntimeError("x")])
@in_virtual_time
async def test_a_defect_passes_as_it_is(wrap: Callable[[Executor], Executor], defect: Exception) -> None:
    with pytest.raises(type(defect)) as raised:
        await wrap(Engine([defect])).execute(chat("hello"))
    assert raised.value is defect


@every_wrapper
@in_virtual_time
async def test_closing_closes_the_engine(wrap: Callable[[Executor], Executor]) -> None:
    engine = Engine()
    executor = wrap(engine)
    await executor.execute(chat("hello"))
    await executor.aclose()
    assert engine.closed == 1


@every_wrapper
@in_virtual_time
async def test_calls_at_once_do_not_mix(wrap: Callable[[Executor], Executor]) -> None:
    engine = Engine(*([f"a{number}", 2.0 + number, f"z{number}"] for number in range(20)))
    executor = wrap(engine)
    takers = [Pieces() for _ in range(20)]
    answers = await asyncio.gather(*(executor.execute(chat("hello"), taker) for taker in takers))
    assert [answer.text for answer in answers if isinstance(answer, Generation)] == [taker.text for taker in takers]
    assert len({taker.text for taker in takers}) == 20


@in_virtual_time
async def test_a_model_that_hangs_is_left_alone_and_another_runs_in_its_place() -> None:
    """The whole stack, in the order in which it is meant to be put together."""
    engine = Engine(models={"big": [FOREVER], "small": ["fine"]})
    clock, events = VirtualClock(), RecordingSink()
    watched = Progressing(engine, ProgressPolicy(first_piece_s=10), clock)
    broken = Breaker(watched, BreakerPolicy(failures=5, open_s=60), clock, events)
    limited = LimitedByModel(broken, [ModelLimit("*", 2)])
    retrying = Retrying(Routed({"engine": limited}, []), 3, BackOff(), random.Random(1))
    stack = Ruled(Fallback(retrying, [FallbackRule("big", ("small",))], events), Rules(RulesPolicy()), events)
    loop = asyncio.get_running_loop()
    took_s = []
    for _ in range(7):
        started = loop.time()
        assert (await stack.execute(chat("hello", "big"), Pieces())).model == "small"
        took_s.append(loop.time() - started)
    assert took_s == [10] * 5 + [0] * 2, "silence is not asked for twice, and the fifth opened the circuit"
    assert broken.states() == {"big": Circuit.OPEN, "small": Circuit.CLOSED}
    await asyncio.sleep(61)
    engine.models["big"] = ["well", "again"]
    assert (await stack.execute(chat("hello", "big"))).model == "big"
    assert [change.state for change in events.of(BreakerChanged)] == ["open", "half-open", "closed"]
    assert len(events.of(FellBack)) == 7
    assert engine.running == 0
