from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError, Refused
from node.domain.events import FellBack
from node.domain.results import Embeddings, Generation
from node.executors.fallback import Fallback, FallbackRule, parse_fallback
from tests.support.events import RecordingSink
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.engine_doubles import Engine, Step, texts

RULES = [FallbackRule("big", ("middle", "small")), FallbackRule("b*", ("none",))]


def models(**steps: Sequence[Step]) -> Engine:
    return Engine(models=dict(steps))


@pytest.mark.parametrize(
    "error", [Declined("no such model"), EngineFailed("no memory"), EngineRefused("too long"), EngineOverloaded("full")]
)
async def test_another_model_runs_and_is_named(error: ExecutorError) -> None:
    engine, events, pieces = models(big=[error], middle=["fine"]), RecordingSink(), Pieces()
    answer = await Fallback(engine, RULES, events).execute(chat("hello", "big", 5, 0.5), pieces)
    assert answer == Generation("fine", "middle", "engine")
    assert pieces.texts == ["fine"]
    assert engine.asked == [chat("hello", "big", 5, 0.5), chat("hello", "middle", 5, 0.5)]
    assert events.events == [FellBack("big", "middle", str(error))]


async def test_alternatives_are_tried_in_order() -> None:
    engine, events = models(big=[Declined("a")], middle=[EngineFailed("b")], small=["fine"]), RecordingSink()
    assert (await Fallback(engine, RULES, events).execute(chat("x", "big"))).model == "small"
    assert events.events == [FellBack("big", "middle", "a"), FellBack("big", "small", "a")]


async def test_embeddings_fall_back_too() -> None:
    engine = models(big=[Declined("a")], middle=[])
    answer = await Fallback(engine, RULES, RecordingSink()).execute(texts("ab", model="big"))
    assert answer == Embeddings(((2.0,),), "middle", "engine")


async def test_when_all_fail_the_first_error_is_told_with_what_was_tried() -> None:
    engine = models(big=[EngineOverloaded("full")], middle=[Declined("missing")], small=[EngineFailed("broke off")])
    with pytest.raises(EngineOverloaded) as raised:
        await Fallback(engine, RULES, RecordingSink()).execute(chat("x", "big"))
    assert str(raised.value) == "full; in its place were tried: middle (missing), small (broke off)"
    assert str(raised.value.__cause__) == "full"


@pytest.mark.parametrize("pieces", [Pieces(), None])
async def test_an_answer_that_has_begun_is_not_begun_again(pieces: Pieces | None) -> None:
    engine, events = models(big=["It", EngineFailed("broke off")], middle=["fine"]), RecordingSink()
    with pytest.raises(EngineFailed, match=r"^broke off$"):
        await Fallback(engine, RULES, events).execute(chat("x", "big"), pieces)
    assert (engine.asked_models, events.events) == (["big"], [])


async def test_nor_is_one_of_an_alternative() -> None:
    engine = models(big=[Declined("a")], middle=["It", EngineFailed("broke off")], small=["fine"])
    pieces = Pieces()
    with pytest.raises(EngineFailed, match=r"^broke off$"):
        await Fallback(engine, RULES, RecordingSink()).execute(chat("x", "big"), pieces)
    assert (engine.asked_models, pieces.texts) == (["big", "middle"], ["It"])


async def test_those_who_ask_are_told_of_each_what_they_may_read() -> None:
    absent = EngineFailed("nothing answers at http://10.0.0.7", told="it is not there")
    engine = models(big=[absent], middle=[absent], small=[Declined("no model small")])
    with pytest.raises(EngineFailed) as raised:
        await Fallback(engine, RULES, RecordingSink()).execute(chat("hello", "big"))
    assert str(raised.value).count("10.0.0.7") == 2
    assert raised.value.told == (
        "it is not there; in its place were tried: middle (it is not there), small (no model small)"
    )


async def test_a_model_without_a_rule_fails_as_it_is() -> None:
    engine, events, error = models(other=[Declined("a")]), RecordingSink(), Declined("a")
    engine.models["other"] = [error]
    with pytest.raises(Declined) as raised:
        await Fallback(engine, RULES, events).execute(chat("x", "other"))
    assert raised.value is error
    assert events.events == []


async def test_what_the_rules_refuse_no_other_model_may_do() -> None:
    engine = models(big=[Refused("roles")], middle=["fine"])
    with pytest.raises(Refused):
        await Fallback(engine, RULES, RecordingSink()).execute(chat("x", "big"))


async def test_a_model_does_not_stand_in_for_itself() -> None:
    engine = models(a1=[Declined("no")], a2=["fine"])
    rules = [FallbackRule("a*", ("a1", "a2"))]
    assert (await Fallback(engine, rules, RecordingSink()).execute(chat("x", "a1"))).model == "a2"
    only = [FallbackRule("a*", ("a1",))]
    with pytest.raises(Declined, match=r"^no$"):
        await Fallback(engine, only, RecordingSink()).execute(chat("x", "a1"))


async def test_alternatives_have_no_alternatives() -> None:
    engine = models(a=[Declined("no a")], b=[Declined("no b")], c=["fine"])
    rules = [FallbackRule("a", ("b",)), FallbackRule("b", ("c", "a"))]
    with pytest.raises(Declined):
        await Fallback(engine, rules, RecordingSink()).execute(chat("x", "a"))
    assert engine.asked_models == ["a", "b"]


def test_a_rule_is_read() -> None:
    rule = parse_fallback("llama3.1:70b=llama3.1:8b+gemma2:2b")
    assert rule == FallbackRule("llama3.1:70b", ("llama3.1:8b", "gemma2:2b"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("llama3.1:70b", "not of the form PATTERN=MODEL"),
        ("a=", "not of the form"),
        ("a=b+", "a name is missing"),
        ("a=b+b", "stands twice"),
        ("a=b+llama*", "'llama\\*' is a pattern"),
        ("a=a", "cannot stand in for itself"),
    ],
)
def test_what_is_no_rule_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_fallback(text)
