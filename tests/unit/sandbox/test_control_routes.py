from __future__ import annotations

import asyncio

import pytest

from node.sandbox.policy import Prompt, SandboxPolicy, WorkloadPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import JOB, a_sandbox, enter, wire_result


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "ledger"),
        ("GET", "jobs"),
        ("GET", "nodes"),
        ("POST", "expire_tokens"),
        ("GET", "limits"),
        ("POST", "limits"),
        ("GET", "bugs"),
        ("GET", "feeder"),
        ("POST", "feeder"),
        ("GET", "faults"),
        ("POST", "faults"),
    ],
)
def test_control_needs_the_token(method: str, path: str) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox() as (_, client):
            for denied in (client, client.with_control("wrong"), client.with_control("é")):
                assert (await denied.call(method, f"/sandbox/{path}", b"{}")).status == 401

    run()


@in_virtual_time
async def test_the_ledger_tells_sums_and_pages_of_jobs() -> None:
    async with a_sandbox(SandboxPolicy(points_per_minute=0)) as (_, client):
        control = client.with_control()
        node = await enter(client, "a")
        for _ in range(5):
            await client.with_key().post("/submit_job", JOB)
        job = (await node.get("/worker/get_job")).json["job_data"]
        await node.post("/worker/update_result", wire_result(job))
        await node.post("/worker/update_result", wire_result(job))
        await node.get("/worker/get_job")
        assert (await control.get("/sandbox/ledger")).json == {
            "submitted": 5,
            "claimed": 2,
            "claims": 2,
            "redelivered": 0,
            "returned": 0,
            "accepted": 1,
            "succeeded": 1,
            "failed": 0,
            "pending": 3,
            "leased": 1,
            "lost": 0,
            "duplicates_refused": 1,
            "unknown_results": 0,
            "points": 1.0,
        }
        first = (await control.get("/sandbox/ledger?detail=1&limit=3")).json
        assert [row["seq"] for row in first["jobs"]] == [1, 2, 3]
        rest = (await control.get(f"/sandbox/ledger?detail=1&limit=3&after={first['next_after']}")).json
        assert [row["seq"] for row in rest["jobs"]] == [4, 5]
        assert rest["next_after"] is None
        assert "jobs" not in (await control.get("/sandbox/ledger?detail=0")).json
        for bad in ("limit=x", "after=-1", "limit=\u0661"):
            assert (await control.get(f"/sandbox/ledger?{bad}")).status == 422
            assert (await control.get(f"/sandbox/nodes?{bad}")).status == 422


@in_virtual_time
async def test_the_nodes_are_told_in_pages() -> None:
    async with a_sandbox() as (_, client):
        for name in "abc":
            await enter(client, name)
        control = client.with_control()
        first = (await control.get("/sandbox/nodes?limit=2")).json
        assert [row["node_id"] for row in first["nodes"]] == ["a", "b"]
        assert first["nodes"][0]["registered"]
        rest = (await control.get(f"/sandbox/nodes?limit=2&after={first['next_after']}")).json
        assert ([row["node_id"] for row in rest["nodes"]], rest["next_after"]) == (["c"], None)


@in_virtual_time
async def test_the_feeder_is_switched_from_outside() -> None:
    workload = WorkloadPolicy(prompts=(Prompt("m", "x"),), arrivals="constant", rate_per_s=10, running=False)
    async with a_sandbox(SandboxPolicy(workload=workload)) as (_, client):
        control = client.with_control()
        await asyncio.sleep(5)
        assert not (await control.get("/sandbox/feeder")).json["running"]
        assert (await control.post("/sandbox/feeder", {"running": True})).json["running"]
        await asyncio.sleep(1.05)
        assert (await control.get("/sandbox/feeder")).json["submitted"] == 10
        assert (await control.post("/sandbox/feeder", {"rate_per_s": 1})).json["rate_per_s"] == 1
        assert not (await control.post("/sandbox/feeder", {"running": False})).json["running"]
        for bad in ({"rate_per_s": -1}, {"rate_per_s": "fast"}, {"speed": 1}):
            assert (await control.post("/sandbox/feeder", bad)).status == 422


@in_virtual_time
async def test_faults_are_switched_from_outside() -> None:
    async with a_sandbox() as (_, client):
        control = client.with_control()
        rules = {"rules": [{"step": "ping", "kind": "status", "status": 503, "count": 2}]}
        assert (await control.post("/sandbox/faults", rules)).status == 200
        assert [(await client.get("/worker/ping")).status for _ in range(4)] == [503, 503, 200, 200]
        report = (await control.get("/sandbox/faults")).json
        assert report == {"rules": [{"step": "ping", "kind": "status", "matched": 4, "fired": 2}]}
        assert (await control.post("/sandbox/faults", {"rules": []})).json == {"rules": []}
        assert (await control.post("/sandbox/faults", {"rules": [{"step": "ping", "kind": "boom"}]})).status == 422


@in_virtual_time
async def test_all_sessions_are_ended_at_once() -> None:
    async with a_sandbox() as (_, client):
        nodes = [await enter(client, name) for name in "abc"]
        await client.with_key().post("/submit_job", JOB)
        job = (await nodes[0].get("/worker/get_job")).json["job_data"]
        assert (await client.with_control().post("/sandbox/expire_tokens", {})).json == {"status": "ok"}
        assert [(await node.get("/worker/get_job")).status for node in nodes] == [401] * 3
        renewed = await enter(client, "a")
        assert (await renewed.get("/worker/get_job")).status == 200
        assert (await renewed.post("/worker/update_result", wire_result(job))).status == 200


@in_virtual_time
async def test_a_gateway_without_bugs_tells_of_none() -> None:
    async with a_sandbox() as (_, client):
        assert (await client.with_control().get("/sandbox/bugs")).json == {"bugs": []}
