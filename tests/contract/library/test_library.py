"""What every library of models keeps, whatever engine it belongs to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from node.domain.errors import EngineFailed
from node.executors.ollama_library import OllamaLibrary
from node.executors.ollama_policy import OllamaPolicy
from node.executors.openai_library import OpenAiLibrary
from node.executors.openai_policy import OpenAiPolicy
from node.ports.library import ModelLibrary
from tests.support.waiting import wait_until
from tests.unit.executors import openai_server
from tests.unit.executors.ollama_server import (
    Exchange,
    OllamaServer,
    Script,
    listing,
    moving,
    pulling,
    refusing,
    saying,
    stalling,
)

NAMES = ("gemma2:2b", "llama3.1:latest")
UNKNOWN = "unknown:1b"
LIST_S = 0.3


class Bench:
    """A library and the server that it asks."""

    def __init__(self, kind: str, stack: AsyncExitStack) -> None:
        self.kind = kind
        self._stack = stack
        if kind == "ollama":
            self.server = OllamaServer(self._ollama, listing(*({"name": name, "model": name} for name in NAMES)))
        else:
            self.server = openai_server.OpenAiServer(tags=openai_server.models(*NAMES))

    async def open(self, name: str = "upstairs") -> ModelLibrary:
        await self.server.start()
        self._stack.push_async_callback(self.server.stop)
        return self.library(name)

    def library(self, name: str = "upstairs", list_s: float = 10.0) -> ModelLibrary:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        url = self.server.url.replace("//", "//user:hidden@")
        if self.kind == "ollama":
            made: ModelLibrary = OllamaLibrary(OllamaPolicy(url, name=name), tls, list_s)
        else:
            made = OpenAiLibrary(OpenAiPolicy(name, f"{url}/v1"), tls, list_s)
        self._stack.push_async_callback(made.aclose)
        return made

    async def _ollama(self, exchange: Exchange) -> None:
        if exchange.chat["model"] == UNKNOWN:
            await refusing(404, f"model '{UNKNOWN}' not found")(exchange)
        elif exchange.path == "/api/pull":
            await pulling({"status": "pulling manifest"}, {"status": "success"})(exchange)
        else:
            await moving(exchange)


@pytest.fixture(params=["ollama", "openai"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(request.param, stack)


async def test_it_bears_its_engines_name(bench: Bench) -> None:
    assert (await bench.open("upstairs")).engine == "upstairs"


async def test_it_lists_what_the_engine_has(bench: Bench) -> None:
    library = await bench.open()
    assert tuple(model.name for model in await library.stored()) == NAMES
    assert await library.loaded() == ()


async def test_none_is_no_error(bench: Bench) -> None:
    bench.server.tags = listing() if bench.kind == "ollama" else openai_server.models()
    assert await (await bench.open()).stored() == ()


ACTIONS: list[Callable[[ModelLibrary, str], Awaitable[None]]] = [
    lambda library, model: library.pull(model),
    lambda library, model: library.load(model),
    lambda library, model: library.unload(model),
]


@pytest.mark.parametrize("act", ACTIONS, ids=["pull", "load", "unload"])
async def test_it_does_what_it_says_it_can(bench: Bench, act: Callable[[ModelLibrary, str], Awaitable[None]]) -> None:
    library = await bench.open()
    if library.manages:
        await act(library, NAMES[0])
    else:
        with pytest.raises(EngineFailed, match="started with"):
            await act(library, NAMES[0])


@pytest.mark.parametrize("act", ACTIONS[:2], ids=["pull", "load"])
async def test_a_model_that_nobody_knows_is_a_failure(
    bench: Bench, act: Callable[[ModelLibrary, str], Awaitable[None]]
) -> None:
    library = await bench.open()
    with pytest.raises(EngineFailed, match=UNKNOWN):
        await act(library, UNKNOWN)


async def test_an_engine_that_is_absent_is_a_failure_without_secrets(bench: Bench) -> None:
    bench.server.reserve()
    library = bench.library()
    with pytest.raises(EngineFailed, match="nothing answers at http://127") as failed:
        await library.stored()
    assert "hidden" not in str(failed.value)
    await bench.server.start()
    assert len(await library.stored()) == 2
    await bench.server.stop()


@pytest.mark.parametrize(
    "script",
    [
        saying(200, "text/html", b"<html>"),
        saying(404, "text/html", b"<html>"),
        saying(200, "application/json", b'{"models":7,"data":7}'),
        saying(200, "application/json", b" " * 20 * 2**20),
        refusing(500, "no luck"),
        refusing(503, "busy"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(bench: Bench, script: Script) -> None:
    bench.server.tags = script
    library = await bench.open()
    with pytest.raises(EngineFailed) as failed:
        await library.stored()
    assert len(str(failed.value)) < 300


async def test_a_silent_engine_is_a_failure(bench: Bench) -> None:
    bench.server.tags = stalling()
    await bench.open()
    with pytest.raises(EngineFailed, match=r"did not list its models in 0\.3 s"):
        await bench.library(list_s=LIST_S).stored()
    await wait_until(lambda: bench.server.left == 1)


async def test_cancelling_is_the_callers(bench: Bench) -> None:
    bench.server.tags = stalling()
    library = await bench.open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await library.stored()
    await wait_until(lambda: bench.server.left == 1)


async def test_closing_twice_is_once(bench: Bench) -> None:
    library = await bench.open()
    await library.stored()
    await library.aclose()
    await library.aclose()


async def test_what_it_does_at_once_is_a_number_or_not_known_and_never_an_error(bench: Bench) -> None:
    bench.server.reserve()
    assert await bench.library().parallel() is None
    await bench.server.start()
    assert await bench.library().parallel() is None
    await bench.server.stop()
