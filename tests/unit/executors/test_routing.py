from __future__ import annotations

import asyncio

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.model_names import matches
from node.executors.engine_calls import EngineAbsent
from node.executors.limited import Limited
from node.executors.progress import EngineSilent
from node.executors.routing import Prospect, Route, Routed, parse_route
from tests.unit.executors.doubles import Pieces, Scripted, chat
from tests.unit.executors.engine_doubles import Engine

DECLINING = [Declined("not here")]


def engines(**scripts: list[ExecutorError | str]) -> dict[str, Engine]:
    return {name: Engine(steps, name=name) for name, steps in scripts.items()}


async def test_the_first_route_that_fits_counts() -> None:
    known = engines(a=["a"], b=["b"], c=["c"])
    routed = Routed(known, [Route("llama3:70b", ("c",)), Route("llama*", ("b", "a"))])
    models = {"llama3:70b": "c", "llama3:8b": "b", "gemma": "a", "Llama3": "a"}
    for model, name in models.items():
        assert (await routed.execute(chat("x", model))).executor == name
    assert routed.name == "a|b|c"


async def test_the_engines_of_a_route_are_tried_in_turn_and_no_others() -> None:
    known = engines(a=["a"], b=[Declined("b lacks it")], c=[Declined("c lacks it")])
    with pytest.raises(Declined, match=r"^c lacks it; b lacks it$"):
        await Routed(known, [Route("*", ("c", "b"))]).execute(chat("x"))
    assert not known["a"].asked
    assert (await Routed(known, [Route("*", ("b", "c", "a"))]).execute(chat("x"))).executor == "a"


async def test_a_model_without_a_route_is_offered_to_all_in_order() -> None:
    known = engines(a=[Declined("no")], b=["b"], c=["c"])
    assert (await Routed(known, [Route("llama*", ("c",))]).execute(chat("x"))).executor == "b"
    assert (await Routed(known, []).execute(chat("x"))).executor == "b"


@pytest.mark.parametrize("error", [EngineFailed("broke off"), EngineOverloaded("full"), EngineSilent("silent")])
async def test_what_one_fails_at_the_next_is_asked_for(error: ExecutorError) -> None:
    known, pieces = engines(a=[error], b=["fine"]), Pieces()
    assert (await Routed(known, []).execute(chat("x"), pieces)).executor == "b"
    assert pieces.texts == ["fine"]


@pytest.mark.parametrize("pieces", [Pieces(), None])
async def test_an_answer_that_has_begun_is_not_begun_again(pieces: Pieces | None) -> None:
    error = EngineFailed("broke off")
    known = engines(a=["It", error], b=["b"])
    with pytest.raises(EngineFailed) as raised:
        await Routed(known, []).execute(chat("x"), pieces)
    assert raised.value is error
    assert not known["b"].asked


async def test_what_an_engine_refuses_is_final() -> None:
    known = engines(a=[EngineRefused("bad request")], b=["b"])
    with pytest.raises(EngineRefused):
        await Routed(known, []).execute(chat("x"))
    assert not known["b"].asked


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([Declined("no"), EngineAbsent("gone")], EngineAbsent),
        ([EngineFailed("broke"), EngineAbsent("gone")], EngineFailed),
        ([EngineFailed("broke"), EngineSilent("silent")], EngineSilent),
        ([EngineSilent("silent"), EngineOverloaded("full", 3.0)], EngineOverloaded),
    ],
)
async def test_the_error_of_all_is_that_of_most_hope(errors: list[ExecutorError], kind: type[ExecutorError]) -> None:
    known = {str(number): Engine([error], name=str(number)) for number, error in enumerate(errors)}
    with pytest.raises(kind) as raised:
        await Routed(known, []).execute(chat("x"))
    assert type(raised.value) is kind
    assert str(raised.value) == f"{errors[0]}; {errors[1]}"
    if isinstance(raised.value, EngineOverloaded):
        assert raised.value.retry_after_s == 3.0


async def test_those_who_ask_are_told_of_all_engines_what_they_may_read() -> None:
    known = engines(a=[EngineAbsent("nothing answers at 10.0.0.1", told="a is not there")], b=[Declined("b lacks it")])
    with pytest.raises(EngineAbsent) as raised:
        await Routed(known, []).execute(chat("x"))
    assert raised.value.told == "a is not there; b lacks it"


async def test_the_engine_with_most_free_slots_is_asked_first() -> None:
    known = engines(a=["a"], b=["b"], c=["c"])
    free = {"a": 1, "b": 2, "c": 3}
    having = {"a", "b", "c"}
    prospects = {name: lambda _model, name=name: Prospect(name in having, free[name]) for name in known}
    routed = Routed(known, [Route("routed", ("a", "b"))], prospects)

    async def asked(model: str = "x") -> str:
        return (await routed.execute(chat("x", model))).executor

    assert await asked() == "c"
    having.remove("c")
    assert await asked() == "b", "it has the model"
    free["a"] = free["b"] = -2
    assert await asked() == "a", "of those that are alike the first"
    free["b"] = -1
    assert await asked() == "b", "fewer wait"
    assert await asked("routed") == "b", "fewer wait"
    free.update(a=1, b=5)
    assert await asked("routed") == "a", "the order of a route counts while there is a slot"
    free["a"] = 0
    assert await asked("routed") == "b"


async def test_jobs_that_come_together_are_spread() -> None:
    known = {name: Engine([1.0, "fine"], name=name) for name in ("a", "b")}
    limits = {name: Limited(engine, 5) for name, engine in known.items()}
    prospects = {name: lambda _model, limit=limit: Prospect(free=limit.free) for name, limit in limits.items()}
    routed = Routed(limits, [], prospects)
    jobs = [asyncio.ensure_future(routed.execute(chat("x"))) for _ in range(12)]
    await asyncio.sleep(0)
    assert [engine.running for engine in known.values()] == [5, 5]
    assert [limit.free for limit in limits.values()] == [-1, -1]
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    assert [limit.free for limit in limits.values()] == [5, 5]


async def test_every_engine_is_closed_once_though_one_fails_to() -> None:
    known = {"a": Scripted(close_error=OSError("stuck")), "b": Scripted(), "c": Scripted()}
    routed = Routed(known, [Route("*", ("a", "b")), Route("x", ("b",))])
    with pytest.raises(OSError, match="stuck"):
        await routed.aclose()
    assert [engine.closed for engine in known.values()] == [1, 1, 1]


def test_a_route_to_nowhere_is_told() -> None:
    with pytest.raises(ValueError, match=r"the route of llama\* names 'vlm'; the engines are: ollama, vllm"):
        Routed(engines(ollama=[], vllm=[]), [Route("llama*", ("ollama", "vlm"))])
    with pytest.raises(ValueError, match="the engines are: none"):
        Routed({}, [Route("llama*", ("ollama",))])


def test_a_route_is_read() -> None:
    assert parse_route("llama3*=ollama+vllm") == Route("llama3*", ("ollama", "vllm"))
    assert parse_route(" * = a + b ") == Route("*", ("a", "b"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not of the form PATTERN=ENGINE"),
        ("llama3*", "'llama3\\*' is not of the form"),
        ("=ollama", "not of the form"),
        ("llama3*=", "not of the form"),
        ("llama3*=+", "a name is missing in '\\+'"),
        ("llama3*=a++b", "a name is missing"),
        ("llama3*=a+b+a", "stands twice"),
    ],
)
def test_what_is_no_route_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_route(text)


@pytest.mark.parametrize(
    ("pattern", "model", "fits"),
    [
        ("llama3.1:8b", "llama3.1:8b", True),
        ("llama3.1:8b", "llama3x1:8b", False),
        ("llama3*", "llama3", True),
        ("llama?:8b", "llama3:8b", True),
        ("llama?:8b", "llama:8b", False),
        ("*", "", True),
        ("*:70b", "a/b:70b", True),
        ("a[bc]", "ab", False),
        ("a[bc]*", "a[bc]d", True),
        ("a[", "a[", True),
        ("LLAMA*", "llama3", False),
    ],
)
def test_wildcards(pattern: str, model: str, *, fits: bool) -> None:
    assert matches(model, (pattern,)) is fits
