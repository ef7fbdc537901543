from __future__ import annotations

import asyncio
import random

import pytest

from node.domain.errors import EngineFailed
from node.executors.by_model import LimitedByModel, ModelLimit, parse_model_limit
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors.doubles import Scripted, chat
from tests.unit.executors.engine_doubles import Engine

LIMITS = [ModelLimit("llama3:70b", 1), ModelLimit("llama*", 2)]


@in_virtual_time
async def test_each_model_has_a_limit_of_its_own() -> None:
    engine = Engine([10.0])
    limited = LimitedByModel(engine, LIMITS)
    models = ["llama3:70b", "llama3:8b", "llama2", "other"]
    calls = [asyncio.ensure_future(limited.execute(chat("x", model))) for model in models for _ in range(5)]
    await asyncio.sleep(1)
    assert [engine.asked_models.count(model) for model in models] == [1, 2, 2, 5]
    assert limited.waiting == 4 + 3 + 3
    await asyncio.gather(*calls)
    assert (len(engine.asked), limited.waiting) == (20, 0)


@in_virtual_time
async def test_two_names_of_a_model_share_its_limit() -> None:
    engine = Engine([10.0])
    limited = LimitedByModel(engine, LIMITS)
    await asyncio.gather(*(limited.execute(chat("x", f"llama2{tag}")) for tag in ("", ":latest", "", ":latest")))
    assert engine.peak == 2


@in_virtual_time
async def test_a_default_holds_for_the_rest() -> None:
    engine = Engine([10.0])
    limited = LimitedByModel(engine, LIMITS, default=3)
    calls = [asyncio.ensure_future(limited.execute(chat("x", "other"))) for _ in range(7)]
    await asyncio.gather(*calls)
    assert engine.peak == 3


@in_virtual_time
async def test_calls_wait_in_the_order_of_their_coming() -> None:
    inner = Scripted(seconds=1)
    limited = LimitedByModel(inner, [ModelLimit("*", 1)])
    await asyncio.gather(*(limited.execute(chat(str(number))) for number in range(10)))
    assert inner.started == [str(number) for number in range(10)]


@in_virtual_time
async def test_the_end_of_one_call_leaves_the_limit_to_the_others() -> None:
    engine = Engine([1.0], [10.0])
    limited = LimitedByModel(engine, [ModelLimit("*", 2)])
    calls = [asyncio.ensure_future(limited.execute(chat("x"))) for _ in range(3)]
    await asyncio.sleep(2)
    calls.append(asyncio.ensure_future(limited.execute(chat("x"))))
    await asyncio.sleep(1)
    assert (engine.running, limited.waiting) == (2, 1)
    await asyncio.gather(*calls)


@in_virtual_time
async def test_nothing_is_left_of_calls_that_ended_in_whatever_way() -> None:
    engine = Engine(*([random.Random(seed).choice([0.5, 2.0]), EngineFailed("x")] for seed in range(100)), [0.1])
    limited = LimitedByModel(engine, [ModelLimit("*", 2)])
    chance = random.Random(3)
    calls = [asyncio.ensure_future(limited.execute(chat("x", f"m{number % 7}"))) for number in range(200)]
    for _ in range(200):
        chance.choice(calls).cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.1, 0.5]))
    await asyncio.gather(*calls, return_exceptions=True)
    assert (engine.running, limited.waiting, limited._lanes) == (0, 0, {})
    await asyncio.gather(limited.execute(chat("x")), limited.execute(chat("x")))


def test_a_limit_is_read() -> None:
    assert parse_model_limit(" llama3* = 2 ") == ModelLimit("llama3*", 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("llama3", "not of the form PATTERN=NUMBER"),
        ("=2", "not of the form"),
        ("llama3=", "not of the form"),
        ("llama3=two", "'two' is not a whole number"),
        ("llama3=-1", "'-1' is not a whole number"),
        ("llama3=²", "not a whole number"),
        ("llama3=0", "the least is 1"),
    ],
)
def test_what_is_no_limit_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_model_limit(text)
