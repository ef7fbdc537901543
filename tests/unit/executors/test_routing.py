from __future__ import annotations

import pytest

from node.domain.errors import Declined, EngineFailed
from node.domain.model_names import matches
from node.executors.routing import Route, Routed, parse_route
from tests.unit.executors.doubles import Scripted, chat
from tests.unit.executors.engine_doubles import Engine

DECLINING = [Declined("not here")]


def engines(**scripts: list[Declined | EngineFailed | str]) -> dict[str, Engine]:
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


async def test_a_failure_is_final() -> None:
    known = engines(a=[EngineFailed("broke off")], b=["b"])
    with pytest.raises(EngineFailed):
        await Routed(known, []).execute(chat("x"))
    assert not known["b"].asked


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
