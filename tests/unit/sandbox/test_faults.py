from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from node.sandbox.policy import FaultRule, SandboxPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import JOB, Client, a_sandbox, enter, wire_result


def faulty(*rules: FaultRule) -> SandboxPolicy:
    return SandboxPolicy(faults=rules)


async def submitted(client: Client) -> int:
    count: int = (await client.get("/total_job_count")).json["total_job_count"]
    return count


@pytest.mark.parametrize(
    ("body", "content_type"), [("json", "application/json"), ("html", "text/html; charset=utf-8"), ("empty", None)]
)
def test_a_status_has_the_body_that_the_rule_says(body: Any, content_type: str | None) -> None:
    @in_virtual_time
    async def run() -> None:
        rule = FaultRule("submit_job", "status", status=502, body=body, retry_after="7")
        async with a_sandbox(faulty(rule)) as (_, client):
            answered = await client.with_key().post("/submit_job", JOB)
            assert (answered.status, answered.headers["retry-after"]) == (502, "7")
            assert answered.headers.get("content-type") == content_type
            assert bool(answered.body) is (body != "empty")
            assert await submitted(client) == 0

    run()


@in_virtual_time
async def test_a_204_for_a_poll() -> None:
    async with a_sandbox(faulty(FaultRule("poll", "status", status=204, body="empty"))) as (_, client):
        node = await enter(client, "a")
        answered = await node.get("/worker/get_job")
        assert (answered.status, answered.body) == (204, b"")


@in_virtual_time
async def test_a_fault_after_the_act_hides_what_was_done() -> None:
    async with a_sandbox(faulty(FaultRule("update_result", "status", after=True, count=1))) as (_, client):
        node = await enter(client, "a")
        await client.with_key().post("/submit_job", JOB)
        job = (await node.get("/worker/get_job")).json["job_data"]
        assert (await node.post("/worker/update_result", wire_result(job))).status == 500
        assert (await node.post("/worker/update_result", wire_result(job))).status == 409


@pytest.mark.parametrize("after", [False, True])
def test_a_delay(after: bool) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox(faulty(FaultRule("submit_job", "delay", after=after, delay_s=30))) as (_, client):
            request = asyncio.create_task(client.with_key().post("/submit_job", JOB))
            await asyncio.sleep(29)
            assert not request.done()
            assert await submitted(client) == int(after)
            await asyncio.sleep(2)
            assert (await request).status == 200
            assert await submitted(client) == 1

    run()


@pytest.mark.parametrize("after", [False, True])
def test_a_hang_lasts_until_the_client_leaves(after: bool) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox(faulty(FaultRule("submit_job", "hang", after=after))) as (_, client):
            request = asyncio.create_task(client.with_key().post("/submit_job", JOB))
            await asyncio.sleep(10_000)
            assert not request.done()
            assert await submitted(client) == int(after)
            client.leaves.set()
            with pytest.raises(AssertionError, match="no answer"):
                await request

    run()


@in_virtual_time
async def test_a_hang_ends_with_the_sandbox() -> None:
    async with a_sandbox(faulty(FaultRule("ping", "hang"))) as (running, client):
        request = asyncio.create_task(client.get("/worker/ping"))
        await asyncio.sleep(10)
        running.quiesce()
        with pytest.raises(ConnectionResetError):
            await request


@in_virtual_time
async def test_garbled_json_is_whole_to_http_and_half_to_json() -> None:
    async with a_sandbox(faulty(FaultRule("submit_job", "garble"))) as (_, client):
        answered = await client.with_key().post("/submit_job", JOB)
        assert answered.status == 200
        assert int(answered.headers["content-length"]) == len(answered.body) > 0
        with pytest.raises(json.JSONDecodeError):
            json.loads(answered.body)
        assert await submitted(client) == 1


@pytest.mark.parametrize(("kind", "done"), [("cut", 1), ("reset", 0)])
def test_a_broken_connection_is_raised_where_there_is_no_server(kind: Any, done: int) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox(faulty(FaultRule("submit_job", kind))) as (_, client):
            with pytest.raises(ConnectionResetError):
                await client.with_key().post("/submit_job", JOB)
            assert await submitted(client) == done

    run()


@in_virtual_time
async def test_a_rule_may_wait_and_end_and_the_next_takes_over() -> None:
    rules = (
        FaultRule("ping", "status", status=500, skip=1, count=2),
        FaultRule("*", "status", status=503, skip=1),
        FaultRule("poll", "status", status=404),
    )
    async with a_sandbox(faulty(*rules)) as (_, client):
        statuses = [(await client.get("/worker/ping")).status for _ in range(6)]
        assert statuses == [200, 500, 500, 503, 503, 503]
        assert (await client.get("/ip")).status == 503
        assert (await client.with_key().get("/get_result/some-id")).status == 503
        assert (await client.with_control().get("/sandbox/ledger")).status == 200
        assert (await client.get("/nothing")).status == 404


def test_chance_comes_from_the_seed() -> None:
    async def statuses(seed: int) -> list[int]:
        rule = FaultRule("ping", "status", probability=0.3)
        async with a_sandbox(faulty(rule), seed) as (_, client):
            return [(await client.get("/worker/ping")).status for _ in range(300)]

    runs: list[list[int]] = []

    @in_virtual_time
    async def run() -> None:
        runs.extend([await statuses(1), await statuses(1), await statuses(2)])

    run()
    assert runs[0] == runs[1] != runs[2]
    assert 60 < runs[0].count(500) < 120
