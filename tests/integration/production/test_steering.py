"""A node that runs is found by its control file and steered by its port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.app.control import ControlClient, read_handles
from node.app.doctor.examine import examine
from node.app.doctor.findings import Finding
from node.app.find_node import find_node
from node.app.production_plan import plan_production
from node.domain.errors import InvalidInput, StepRefused, StorageInUse, TransportError, TryLater
from node.domain.secret import Secret
from node.runtime.system import SystemClock
from node.settings.load import load
from tests.integration.doctor.test_doctor import free_port
from tests.integration.production.world import MACHINE, OWN, ollama, until, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import Exchange, stalling


async def test_pause_resume_and_drain(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        async with around.node({"OLLAMA_BASE_URL": engine.url, "WORKER_ID": "box"}) as node:
            await wait_until(lambda: around.offered() == ("m:1b",), what="it works")
            assert "paused" in (await node.control.order("pause"))["holds"]
            waiting = asyncio.create_task(around.answer("m:1b"))
            await until(lambda: _is(node.status, "presence", "paused"), "it is paused")
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done, "a paused node took a job"
            assert "paused" not in (await node.control.order("resume"))["holds"]
            assert (await waiting).status == "success"
            outcome = await node.ends()
        assert outcome.view.jobs.accepted == 1
        assert outcome.unsent == 0
        assert not outcome.aborted
        assert read_handles(node.state_dir) == ()


async def test_a_drain_lets_the_job_end(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        going_on = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.part("At ")
            await going_on.wait()
            await exchange.final("last")
            await exchange.end()

        engine.scripts.append(slow)
        async with around.node({"OLLAMA_BASE_URL": engine.url}) as node:
            asked = asyncio.create_task(around.answer("m:1b"))
            await until(lambda: _is(node.status, "presence", "processing"), "the job runs")
            await node.control.order("drain")
            await until(lambda: _is(node.status, "life", "draining"), "it drains")
            going_on.set()
            outcome = await node.task
        assert (await asked).status == "success"
        assert outcome.view.jobs.succeeded == 1


async def test_a_stop_whose_time_is_over_answers_the_job_with_an_error(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        engine.default = stalling("It was a dark")
        async with around.node({"OLLAMA_BASE_URL": engine.url}, stop__drain_s=1) as node:
            asked = asyncio.create_task(around.answer("m:1b"))
            await until(lambda: _is(node.status, "presence", "processing"), "the job runs")
            outcome = await node.ends()
        assert (await asked).status == "error"
        assert (outcome.view.jobs.failed, outcome.unsent) == (1, 0)


async def test_whoever_has_not_the_token_steers_nothing(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}) as node,
    ):
        handle = node.control.handle
        stranger = ControlClient(replace(handle, token=Secret("a guess")), node.control._transport)
        with pytest.raises(StepRefused, match="does not take the token"):
            await stranger.order("pause")
        assert (await stranger.status())["holds"] == []
        elsewhere = ControlClient(replace(handle, url=around.url), node.control._transport)
        with pytest.raises(TryLater, match="no node's control port"):
            await elsewhere.status()
        nobody = ControlClient(replace(handle, url="http://127.0.0.1:9"), node.control._transport)
        with pytest.raises(TransportError):
            await nobody.status()


async def test_an_identity_is_held_once(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        async with around.node({"OLLAMA_BASE_URL": engine.url}):
            with pytest.raises(StorageInUse, match="n1"):
                await around.node({"OLLAMA_BASE_URL": engine.url}).__aenter__()
        async with around.node({"OLLAMA_BASE_URL": engine.url}):
            await wait_until(lambda: around.offered() == ("m:1b",), what="it works again")


async def _is(status: Callable[[], Awaitable[Mapping[str, Any]]], name: str, value: str) -> bool:
    return bool((await status())[name] == value)


async def test_of_two_nodes_on_one_state_folder_each_is_steered_by_its_name(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}) as one,
        around.node({"OLLAMA_BASE_URL": engine.url, "NODE_ID": "n2", "WORKER_ID": "box-2"}) as two,
    ):
        transport = one.control._transport
        handles = read_handles(one.state_dir)
        assert [(handle.node, handle.worker) for handle in handles][1] == ("n2", "box-2")
        with pytest.raises(InvalidInput, match=r"2 nodes run there.*--node: n1, n2"):
            await find_node(one.state_dir, handles, transport)
        found = await find_node(one.state_dir, handles, transport, "n2")
        await found.client(transport).order("pause")
        assert "paused" in (await two.status())["holds"]
        assert (await one.status())["holds"] == []


async def test_of_two_containers_on_one_state_folder_each_finds_its_own_node(tmp_path: Path) -> None:
    """In containers both ports have one address, and process numbers are the same: what answers says who it is."""
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}) as one,
        around.node({"OLLAMA_BASE_URL": engine.url, "NODE_ID": "n2"}) as two,
    ):
        for own in (one, two):
            url = own.control.handle.url
            seen = [replace(handle, url=url, host=handle.node) for handle in read_handles(own.state_dir)]
            found = await find_node(own.state_dir, seen, own.control._transport)
            assert found.status["node"] == own.control.handle.node
            assert "paused" in (await found.client(own.control._transport).order("pause"))["holds"]
            assert "paused" in (await own.status())["holds"]


async def test_the_doctor_knows_the_node_that_runs_here(tmp_path: Path) -> None:
    port = free_port()
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}, health__port=port),
    ):
        await wait_until(lambda: around.offered() == ("m:1b",), what="it works")
        variables = {**OWN, "API_GATEWAY_URL": around.url, "OLLAMA_BASE_URL": engine.url, "HEALTH_PORT": str(port)}
        found = await _examined(tmp_path, variables)
        assert (found["outbox"].status, found["port"].status) == ("warn", "warn")
        assert "this node, which runs already" in found["port"].detail
        assert "fail" not in {finding.status for finding in found.values()}
        another = await _examined(tmp_path, {**variables, "NODE_ID": "n2"})
        assert (another["outbox"].status, another["port"].status) == ("pass", "fail")


async def _examined(folder: Path, variables: Mapping[str, str]) -> dict[str, Finding]:
    loaded = load(config_file=None, profile=None, flags={}, environ=variables, cwd=folder)
    return {finding.name: finding async for finding in examine(plan_production(loaded, folder, MACHINE), SystemClock())}
