"""From the same seed comes the same run, to the byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.sandbox.assembly import sandbox
from node.sandbox.policy import FaultRule, Prompt, SandboxPolicy, WorkloadPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import Client, a_sandbox, enter, surroundings, wire_result

POLICY = SandboxPolicy(
    lease_s=40,
    prefer_other_s=10,
    workload=WorkloadPolicy(prompts=(Prompt("m", "one"), Prompt("n", "two")), rate_per_s=1),
    faults=(
        FaultRule("poll", "status", probability=0.1),
        FaultRule("update_result", "delay", after=True, delay_s=5, probability=0.2),
    ),
)


async def a_node(client: Client, name: str, chance: random.Random, stop: asyncio.Event) -> None:
    node = await enter(client, name, "m", "n")
    while not stop.is_set():
        await asyncio.sleep(chance.uniform(1, 5))
        polled = await node.get("/worker/get_job")
        job = polled.json.get("job_data")
        if job is not None:
            await asyncio.sleep(chance.uniform(1, 60))
            await node.post("/worker/update_result", wire_result(job))


async def a_run(seed: int) -> dict[str, Any]:
    async with a_sandbox(POLICY, seed) as (_, client):
        chance = random.Random(seed)
        stop = asyncio.Event()
        nodes = [asyncio.create_task(a_node(client, f"node-{number}", chance, stop)) for number in range(5)]
        await asyncio.sleep(600)
        stop.set()
        for node in nodes:
            await node
        ledger: dict[str, Any] = (await client.with_control().get("/sandbox/ledger?detail=1")).json
        return ledger


def test_runs_of_one_seed_are_equal_and_of_two_are_not() -> None:
    ledgers: list[dict[str, Any]] = []

    async def run(seed: int) -> None:
        ledgers.append(await a_run(seed))

    for seed in (1, 1, 2):
        in_virtual_time(run)(seed)
    first, second, other = ledgers
    assert first == second
    assert first != other
    assert first["returned"] > 0
    assert first["accepted"] > 20
    assert first["lost"] == 0


class InlineExecutor(Executor):
    """Runs work at once, on the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def test_a_gateway_on_disk_runs_in_virtual_time_and_takes_up_where_it_was(tmp_path: Path) -> None:
    policy = replace(POLICY, data_dir=tmp_path, faults=())
    ledgers: list[dict[str, Any]] = []

    async def run() -> None:
        around = replace(surroundings(), executor=InlineExecutor())
        async with sandbox(policy, around) as running:
            client = Client(running.app)
            if not ledgers:
                stop = asyncio.Event()
                node = asyncio.create_task(a_node(client, "a", random.Random(1), stop))
                await asyncio.sleep(300)
                stop.set()
                await node
                running.feeder.stop()
            ledgers.append((await client.with_control().get("/sandbox/ledger?detail=1")).json)

    before_workload = policy.workload
    assert before_workload is not None
    in_virtual_time(run)()
    policy = replace(policy, workload=replace(before_workload, running=False))
    in_virtual_time(run)()
    first, second = ledgers
    assert first["accepted"] > 5
    assert (second["submitted"], second["accepted"], second["points"]) == (
        first["submitted"],
        first["accepted"],
        pytest.approx(first["points"], abs=0.2),
    )
    assert [job["job_id"] for job in first["jobs"]] == [job["job_id"] for job in second["jobs"]]
