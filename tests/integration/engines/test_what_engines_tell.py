"""What a node makes of what engines tell: at its start, and when they are full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from node.app.production_plan import plan_production
from node.app.trial import trial_gateway
from node.settings.load import load
from tests.integration.production.world import MACHINE, ollama, until, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import JSON, OllamaServer, Script, listing, ndjson, refusing, saying, stalling
from tests.unit.executors.openai_server import models, openai_server


@asynccontextmanager
async def trial(folder: Path, **environ: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A sandbox to try a node against, its URL and what was said."""
    loaded = load(config_file=None, profile=None, flags={}, environ=environ, cwd=folder)
    said: list[str] = []
    async with trial_gateway(plan_production(loaded, folder, MACHINE, dry_run=True), said.append) as url:
        yield url, said


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{url}/ip")).is_success


async def test_a_trial_says_for_which_models_there_are_jobs(tmp_path: Path) -> None:
    async with ollama("b:1b", "a:1b") as server, trial(tmp_path, OLLAMA_BASE_URL=server.url) as (url, said):
        assert said == ["Dry run: the sandbox has jobs for a:1b, b:1b."]
        assert await answers(url)


NO_JOBS = "Dry run: the sandbox has no jobs, so that all there is to see is the node's waiting."


@pytest.mark.parametrize(
    ("tags", "allowed", "text"),
    [
        (stalling(), "", "ollama did not say within 3 s which models it has. It gets no jobs: start it, then begin"),
        (listing(), "", "ollama has no model: have it fetch one, then begin the dry run anew."),
        (listing({"model": "a:1b", "size": 1}), "b:1b", "ALLOWED_MODELS lets none of them through: widen it"),
    ],
)
async def test_a_trial_says_why_there_are_no_jobs_and_goes_on(
    tmp_path: Path, tags: Script, allowed: str, text: str
) -> None:
    server = OllamaServer(tags=tags)
    await server.start()
    try:
        async with (
            asyncio.timeout(20),
            trial(tmp_path, OLLAMA_BASE_URL=server.url, ALLOWED_MODELS=allowed) as (url, said),
        ):
            assert text in said[0]
            assert said[1:] == [NO_JOBS]
            assert await answers(url)
    finally:
        await server.stop()


async def test_a_trial_goes_on_with_the_engines_that_are_there(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(ollama("a:1b"))
        absent = OllamaServer()
        stack.push_async_callback(absent.stop)
        listed = f"gone=ollama:{absent.reserve()},here=ollama:{there.url}"
        _, said = await stack.enter_async_context(trial(tmp_path, LLM_NODE_ENGINES__LIST=listed))
        assert "Dry run: gone is not there: nothing answers at" in said[0]
        assert said[1:] == ["Dry run: the sandbox has jobs for a:1b."]


async def test_a_node_has_the_slots_that_its_engine_has(tmp_path: Path) -> None:
    async with openai_server() as server, world(tmp_path) as ground:
        server.tags = models("tiny")
        server.beside["/props"] = saying(200, JSON, ndjson({"total_slots": 3}))
        async with ground.node({"OPENAI_BASE_URL": f"{server.url}/v1"}) as node:
            assert (await node.status())["slots"]["total"] == 3
            assert "3 jobs at a time: openai runs 3. WORKER_CONCURRENCY sets it." in node.said.lines
            answered = await asyncio.gather(*(ground.answer("tiny") for _ in range(5)))
            assert [answer.status for answer in answered] == ["success"] * 5


async def test_a_node_says_at_once_which_engine_it_does_not_find(tmp_path: Path) -> None:
    absent = OllamaServer()
    url = absent.reserve()
    try:
        async with world(tmp_path) as ground, ground.node({"OLLAMA_BASE_URL": url}) as node:

            def is_told() -> bool:
                return any(
                    f"nothing answers at {url}" in line and "looked for again" in line for line in node.said.lines
                )

            await wait_until(is_told)
    finally:
        await absent.stop()


async def test_a_node_leaves_jobs_to_others_while_its_engine_is_full(tmp_path: Path) -> None:
    async with ollama("a:1b") as server, world(tmp_path) as ground:
        room, server.default = server.default, refusing(503, "server busy, please try again")
        async with ground.node({"OLLAMA_BASE_URL": server.url, "OLLAMA_MAX_RETRIES": "0"}) as node:
            assert (await ground.answer("a:1b")).status == "error"

            async def held() -> bool:
                return "engine" in (await node.status())["holds"]

            await until(held, "the node claims nothing")
            assert (await node.status())["engines"][0]["breakers"] == {}, "it is no failure"
            asked, job = len(server.requests), await ground.submit("a:1b")
            await asyncio.sleep(0.5)
            assert len(server.requests) == asked, "the job is left alone"
            server.default = room
            assert (await ground.answered(job)).status == "success"
