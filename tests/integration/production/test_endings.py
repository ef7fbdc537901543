"""How a node's run ends, and what of it is kept and told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.domain.states import Life
from node.sandbox.policy import FaultRule, SandboxPolicy
from tests.integration.production.world import ollama, until, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import JSON, OllamaServer, refusing, saying, stalling


async def test_a_result_that_nobody_took_is_sent_by_the_next_run(tmp_path: Path) -> None:
    deaf = SandboxPolicy(faults=(FaultRule("update_result", "status", status=503),))
    async with ollama("m:1b") as engine, world(tmp_path, deaf) as around:
        async with around.node({"OLLAMA_BASE_URL": engine.url}, stop__drain_s=1.5) as node:
            job = await around.submit("m:1b")

            async def waits() -> bool:
                return bool((await node.status())["outbox"]["depth"])

            await until(waits, "the result waits")
            assert (await node.status())["outbox"]["oldest_age_s"] >= 0
            outcome = await node.ends()
        assert (outcome.unsent, outcome.view.jobs.accepted) == (1, 0)
        assert not outcome.aborted
        around.sandbox.faults.replace(())
        async with around.node({"OLLAMA_BASE_URL": engine.url}) as node:
            assert (await around.answered(job)).status == "success"
            assert "1 finished results of an earlier run are in the outbox; they are sent first." in node.said.lines
            outcome = await node.ends()
        assert outcome.unsent == 0
        assert len(engine.requests) == 1, "the job ran twice"


async def test_an_identity_that_is_refused_ends_the_run(tmp_path: Path) -> None:
    closed = SandboxPolicy(open_registration=False)
    quick = {"fleet__recovery_min_s": 0, "fleet__recovery_max_s": 0.1, "node__refusals": 2}
    async with (
        ollama("m:1b") as engine,
        world(tmp_path, closed) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}, **quick) as node,
    ):
        outcome = await node.task
    assert outcome.all_refused
    assert outcome.view.by_life[Life.FAILED] == 1


async def test_errors_are_posted_to_the_webhook_and_nothing_private_is(tmp_path: Path) -> None:
    hook = OllamaServer(saying(200, JSON, b"{}"))
    await hook.start()
    try:
        async with ollama("m:1b") as engine, world(tmp_path) as around:
            engine.default = refusing(500, "the card is on fire")
            environ = {"OLLAMA_BASE_URL": engine.url, "ERROR_WEBHOOK_URL": f"{hook.url}/T0KEN", "WORKER_ID": "box"}
            async with around.node(environ, engines__retries=0):
                assert (await around.answer("m:1b", "A private question")).status == "error"
                await wait_until(lambda: hook.requests, what="the webhook is called")
        posted = b"".join(exchange.body for exchange in hook.requests).decode()
    finally:
        await hook.stop()
    assert hook.requests[0].path == "/T0KEN"
    assert "the card is on fire" in posted
    assert "box" in posted
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.log"))
    assert "the card is on fire" in logs
    for private in ("hush-hush", "A private question"):
        assert private not in logs + posted
    assert "T0KEN" not in logs


async def test_an_engine_may_come_later_than_the_node(tmp_path: Path) -> None:
    late = OllamaServer()
    url = late.reserve()
    try:
        async with world(tmp_path) as around, around.node({"OLLAMA_BASE_URL": url}) as node:

            async def wrong() -> set[str]:
                return {check["name"] for check in (await node.status())["checks"] if not check["ok"]}

            async def has_no_engine() -> bool:
                return "engine" in await wrong()

            await until(has_no_engine, "the engine is missed")
            assert around.offered() == ()
            late.tags = saying(200, JSON, b'{"models":[{"model":"m:1b","size":1}]}')
            await late.start()
            assert (await around.answer("m:1b")).status == "success"
            assert await wrong() == set()
    finally:
        await late.stop()


async def test_an_engine_that_says_nothing_holds_up_neither_start_nor_stop(tmp_path: Path) -> None:
    silent = OllamaServer(tags=stalling())
    await silent.start()
    try:
        async with world(tmp_path) as around, around.node({"OLLAMA_BASE_URL": silent.url}) as node:
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            outcome = await node.ends()
            assert loop.time() - asked_at < 8
        assert outcome.view.jobs.received == 0
    finally:
        await silent.stop()


async def test_a_port_that_is_taken_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        port = int(around.url.rpartition(":")[2])
        with pytest.raises(InvalidInput, match="the port is taken"):
            await around.node({"OLLAMA_BASE_URL": engine.url}, health__port=port).__aenter__()
        assert around.gateway.network().known_nodes == 0
        async with around.node({"OLLAMA_BASE_URL": engine.url}):
            assert (await around.answer("m:1b")).status == "success"
