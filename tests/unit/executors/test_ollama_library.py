from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from node.domain.errors import EngineFailed
from node.executors.ollama_library import OllamaLibrary
from node.executors.ollama_policy import OllamaPolicy
from node.ports.library import LoadedModel, PullProgress, StoredModel
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import (
    JSON,
    Exchange,
    OllamaServer,
    Script,
    listing,
    moving,
    ndjson,
    ollama_server,
    pulling,
    refusing,
    saying,
    stalling,
)

MANIFEST = {"status": "pulling manifest"}
SUCCESS = {"status": "success"}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with ollama_server(moving) as running:
        yield running


@pytest.fixture
async def library(server: OllamaServer) -> AsyncIterator[OllamaLibrary]:
    made = OllamaLibrary(OllamaPolicy(server.url), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    yield made
    await made.aclose()


async def test_sizes_are_told(server: OllamaServer, library: OllamaLibrary) -> None:
    server.tags = listing(
        {"name": "a:1b", "model": "a:1b", "modified_at": "2026-08-21T09:00:00Z", "size": 3338801804, "digest": "abc"},
        {"name": "b:2b", "model": "b:2b"},
    )
    server.ps = listing(
        {"name": "a:1b", "model": "a:1b", "size": 5137025024, "size_vram": 4096, "expires_at": "2318-01-01T00:00:00Z"},
        {"name": "b:2b", "size": 0},
    )
    assert await library.stored() == (StoredModel("a:1b", 3338801804), StoredModel("b:2b"))
    assert await library.loaded() == (LoadedModel("a:1b", 5137025024, 4096), LoadedModel("b:2b", 0))
    assert server.paths == ["/api/tags", "/api/ps"]


async def test_a_list_waits_for_no_load(server: OllamaServer) -> None:
    server.default = stalling()
    library = OllamaLibrary(OllamaPolicy(server.url, concurrency=1), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    moving_now = [asyncio.create_task(library.load("a:1b")), asyncio.create_task(library.pull("b:2b"))]
    await wait_until(lambda: server.running >= 2)
    async with asyncio.timeout(10):
        await library.stored()
        await library.loaded()
    for task in moving_now:
        task.cancel()
    await asyncio.wait(moving_now)
    await library.aclose()


class TestAPull:
    async def test_tells_its_bytes_over_all_parts(self, server: OllamaServer, library: OllamaLibrary) -> None:
        server.default = pulling(
            MANIFEST,
            {"status": "pulling aaa", "digest": "sha256:aaa", "total": 100},
            {"status": "pulling aaa", "digest": "sha256:aaa", "total": 100, "completed": 60},
            {"status": "pulling aaa", "digest": "sha256:aaa", "total": 100, "completed": 100},
            {"status": "pulling bbb", "digest": "sha256:bbb", "total": 10, "completed": 5},
            {"status": "verifying sha256 digest"},
            SUCCESS,
        )
        seen: list[PullProgress] = []
        await library.pull("a:1b", seen.append)
        assert seen == [
            PullProgress("pulling manifest"),
            PullProgress("pulling aaa", 0, 100),
            PullProgress("pulling aaa", 60, 100),
            PullProgress("pulling aaa", 100, 100),
            PullProgress("pulling bbb", 105, 110),
            PullProgress("verifying sha256 digest", 105, 110),
            PullProgress("success", 105, 110),
        ]
        assert server.requests[0].chat == {"model": "a:1b", "stream": True, "insecure": False}

    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (pulling(MANIFEST), "did not say that it has pulled 'a:1b'"),
            (pulling(), "did not say"),
            (pulling(MANIFEST, {"error": "pull model manifest: file does not exist"}), "file does not exist"),
            (refusing(500, "no space left on device"), "ollama answered 500: no space left on device"),
            (saying(200, "text/html", b"<html>"), "does not speak as Ollama does"),
        ],
    )
    async def test_succeeds_only_where_it_is_said(
        self, server: OllamaServer, library: OllamaLibrary, script: Script, text: str
    ) -> None:
        server.default = script
        with pytest.raises(EngineFailed, match=text):
            await library.pull("a:1b")

    async def test_that_breaks_off_is_a_failure(self, server: OllamaServer, library: OllamaLibrary) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.line(MANIFEST)
            exchange.cut()

        server.default = script
        with pytest.raises(EngineFailed, match="broke off"):
            await library.pull("a:1b")

    async def test_may_be_long_but_not_a_line_of_it(self, server: OllamaServer, library: OllamaLibrary) -> None:
        filler = {"status": "x" * 100_000}
        server.default = pulling(*[filler] * 40, SUCCESS)
        await library.pull("a:1b")
        server.default = pulling({"status": "x" * 2**21}, SUCCESS)
        with pytest.raises(EngineFailed, match="more than"):
            await library.pull("a:1b")

    async def test_stops_when_cancelled(self, server: OllamaServer, library: OllamaLibrary) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.line(MANIFEST)
            await asyncio.Event().wait()

        server.default = script
        seen: list[PullProgress] = []
        call = asyncio.ensure_future(library.pull("a:1b", seen.append))
        await wait_until(lambda: seen)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        await wait_until(lambda: server.left == 1)

    async def test_lets_the_listeners_defects_through(self, server: OllamaServer, library: OllamaLibrary) -> None:
        def broken(progress: PullProgress) -> None:
            raise ValueError("the listener broke")

        server.default = pulling(MANIFEST, SUCCESS)
        with pytest.raises(ValueError, match="the listener broke"):
            await library.pull("a:1b", broken)


class TestMoving:
    async def test_asks_for_nothing_but_to_stay_or_go(self, server: OllamaServer, library: OllamaLibrary) -> None:
        await library.load("a:1b")
        await library.unload("a:1b")
        for request, keep_alive in zip(server.requests, (-1, 0), strict=True):
            sent = request.chat
            assert request.path == "/api/chat"
            assert (sent["model"], sent["messages"], sent["stream"], sent["keep_alive"]) == (
                "a:1b",
                [],
                False,
                keep_alive,
            )

    async def test_takes_models_that_do_not_chat(self, server: OllamaServer, library: OllamaLibrary) -> None:
        for act, keep_alive in ((library.load, -1), (library.unload, 0)):
            server.scripts.append(refusing(400, '"nomic" does not support chat'))
            server.scripts.append(saying(200, JSON, ndjson({"model": "nomic", "embeddings": []})))
            await act("nomic")
            assert server.requests[-1].path == "/api/embed"
            assert server.requests[-1].chat == {"model": "nomic", "input": [], "keep_alive": keep_alive}

    async def test_a_model_that_is_not_there_is_gone_already(
        self, server: OllamaServer, library: OllamaLibrary
    ) -> None:
        server.default = refusing(404, "model 'a:1b' not found")
        await library.unload("a:1b")
        with pytest.raises(EngineFailed, match=r"could not load 'a:1b': .*run: ollama pull a:1b"):
            await library.load("a:1b")

    async def test_says_why_it_failed(self, server: OllamaServer, library: OllamaLibrary) -> None:
        server.default = refusing(500, "model requires more system memory (5.6 GiB) than is available")
        with pytest.raises(EngineFailed, match="requires more system memory"):
            await library.load("a:1b")
