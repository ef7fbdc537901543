"""The gateway is told what the engine has: what comes, what goes, and nothing that is not allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.production.world import ollama, world
from tests.support.waiting import wait_until

SOON_S = 3.0
"""Above the second after which the engine is asked again, and a tenth, on a busy machine."""


async def test_a_model_that_comes_is_announced_and_one_that_goes_is_not_any_more(tmp_path: Path) -> None:
    async with (
        ollama("first:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}) as node,
    ):
        await wait_until(lambda: around.offered() == ("first:1b",), what="the first model is announced")
        engine.models.append("second:7b")
        loop = asyncio.get_running_loop()
        since = loop.time()
        await wait_until(lambda: set(around.offered()) == {"first:1b", "second:7b"}, what="the second is announced")
        assert loop.time() - since < SOON_S
        answer = await around.answer("second:7b")
        assert (answer.status, answer.model_name) == ("success", "second:7b")
        engine.models.remove("first:1b")
        await wait_until(lambda: around.offered() == ("second:7b",), SOON_S, "the first is withdrawn")
        assert (await node.status())["models"] == ["second:7b"]
        assert (await node.status())["life"] == "running"


async def test_an_engine_without_models_is_announced_when_it_has_some(tmp_path: Path) -> None:
    async with ollama() as engine, world(tmp_path) as around, around.node({"OLLAMA_BASE_URL": engine.url}):
        await wait_until(lambda: around.gateway.network().active_nodes == 1, what="the node is there")
        assert around.offered() == ()
        engine.models.append("late:1b")
        await wait_until(lambda: around.offered() == ("late:1b",), SOON_S, "the late model is announced")


async def test_only_what_is_allowed_is_announced(tmp_path: Path) -> None:
    environ = {"ALLOWED_MODELS": "llama3*, exact:1b, never-there:1b"}
    async with (
        ollama("llama3.1:8b", "exact:1b", "gemma2:2b", "exact:2b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, **environ}) as node,
    ):
        await wait_until(lambda: around.offered() != (), what="models are announced")
        assert set(around.offered()) == {"llama3.1:8b", "exact:1b"}
        engine.models += ["llama3.2:1b", "mistral:7b"]
        await wait_until(lambda: "llama3.2:1b" in around.offered(), SOON_S, "the allowed one is announced")
        assert "mistral:7b" not in around.offered()
        assert (await node.status())["models"] == ["exact:1b", "llama3.1:8b", "llama3.2:1b"]


async def test_two_engines_are_one_offer(tmp_path: Path) -> None:
    async with (
        ollama("small:1b", "shared:1b") as one,
        ollama("large:70b", "shared:1b") as two,
        world(tmp_path) as around,
        around.node(engines__list=f"one=ollama:{one.url},two=ollama:{two.url}", engines__routes="shared*=two"),
    ):
        await wait_until(lambda: set(around.offered()) == {"small:1b", "shared:1b", "large:70b"}, what="all are there")
        for model, server in (("small:1b", one), ("large:70b", two), ("shared:1b", two)):
            before = len(server.requests)
            assert (await around.answer(model)).model_name == model
            assert server.requests[-1].chat["model"] == model
            assert len(server.requests) == before + 1
        await two.stop()
        two.models.clear()
        answer = await around.answer("small:1b")
        assert answer.status == "success"
