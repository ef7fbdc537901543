"""A node in production on a real engine, from the gateway's job to its answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.production.world import NodeRun, World, until, world
from tests.support.llama_server import ALIAS, LlamaServer, needs_llama

pytestmark = [needs_llama, pytest.mark.timeout(90)]

LONG = 12_000
"""Tokens that the engine takes the better part of a minute over."""


def on(engine: LlamaServer, **environ: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": engine.base_url, "LLM_NODE_NODE__DEFAULT_MAX_OUTPUT": str(LONG), **environ}


async def answered(ground: World, jobs: int) -> list[tuple[str, str]]:
    """The statuses and errors of so many jobs at once, whose answers the node's own limit alone bounds."""
    orders = [await ground.submit(ALIAS, f"Go on for ever, {number}") for number in range(jobs)]
    answers = await asyncio.gather(*map(ground.answered, orders))
    return [(answer.status, json.loads(answer.result).get("error") or "") for answer in answers]


async def accepted(node: NodeRun, results: int) -> None:
    """Return when the gateway has taken so many results."""

    async def taken() -> bool:
        return (await node.status())["jobs"]["accepted"] == results

    await until(taken, f"{results} results are accepted")


async def test_a_job_s_deadline_answers_it_and_frees_the_engine(llama: LlamaServer, tmp_path: Path) -> None:
    async with world(tmp_path) as ground, ground.node(on(llama, WORKER_TIMEOUT="1500", WORKER_CONCURRENCY="2")) as node:
        ground.max_output = LONG
        answers = await answered(ground, 3)
        assert [status for status, _ in answers] == ["error"] * 3
        ends = ("not done within 1.5 s", "said nothing for 1.2 s")
        assert all(error.endswith(ends) for _, error in answers), answers
        await llama.at_rest()
        ground.max_output = 3
        assert (await ground.answer(ALIAS)).status == "success"
        assert (await node.status())["engines"][0]["available"]
        await accepted(node, 4)


@pytest.mark.proof
async def test_each_job_is_answered_though_the_engine_dies_under_it(mortal: LlamaServer, tmp_path: Path) -> None:
    await asyncio.to_thread(mortal.start)
    settings = on(mortal, CIRCUIT_BREAKER_THRESHOLD="2", CIRCUIT_BREAKER_TIMEOUT="1000", OLLAMA_MAX_RETRIES="0")
    async with world(tmp_path) as ground, ground.node(settings) as node:

        async def ready() -> bool:
            return (await node.status())["engines"][0]["available"] and "engine" not in (await node.status())["holds"]

        async def breakers() -> dict[str, str]:
            states: dict[str, str] = (await node.status())["engines"][0]["breakers"]
            return states

        ground.max_output = LONG
        orders = [await ground.submit(ALIAS, f"Go on for ever, {number}") for number in range(3)]

        async def all_run() -> bool:
            return (await node.status())["slots"]["used"] == 3

        await until(all_run, "three jobs run")
        mortal.kill()
        answers = await asyncio.gather(*map(ground.answered, orders))
        assert [answer.status for answer in answers] == ["error"] * 3

        async def not_ready() -> bool:
            return not await ready()

        await until(not_ready, "no job is claimed")
        assert (await breakers()).get(ALIAS) in ("open", "half-open")
        await asyncio.to_thread(mortal.start)
        await until(ready, "the engine is found", timeout_s=20)
        ground.max_output = 3
        for _ in range(2):
            assert (await ground.answer(ALIAS)).status == "success"
        assert await breakers() == {}
        await accepted(node, 5)
