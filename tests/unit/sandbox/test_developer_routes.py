"""The developer's side of the wire, over ASGI in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.domain.secret import Secret
from node.protocol.messages import ChatReply
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import JOB, Client, a_sandbox, enter, wire_result

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 8,
    "temperature": 0.5,
}


async def work(node: Client, *, error: str | None = None) -> None:
    """Answer the next job as a node would."""
    await asyncio.sleep(1)
    job = (await node.get("/worker/get_job")).json["job_data"]
    answer = wire_result(job)
    if error is not None:
        answer |= {"status": "error", "result": {"message": {"content": ""}, "error": error}}
    assert (await node.post("/worker/update_result", answer)).status == 200


@in_virtual_time
async def test_a_result_is_404_until_it_is_there() -> None:
    async with a_sandbox() as (_, client):
        developer = client.with_key()
        node = await enter(client, "a")
        job_id = (await developer.post("/submit_job", JOB)).json["job_id"]
        for path in ("get_result", "get_completion_time"):
            assert (await developer.get(f"/{path}/{job_id}")).status == 404
            assert (await developer.get(f"/{path}/unknown")).status == 404
        await asyncio.sleep(2)
        await work(node)
        assert (await developer.get(f"/get_result/{job_id}")).json == {
            "status": "success",
            "result": {"message": {"role": "assistant", "content": "answer"}, "error": None},
            "model_name": "m",
        }
        taken = (await developer.get(f"/get_completion_time/{job_id}")).json
        assert taken == {"job_id": job_id, "completion_time": pytest.approx(3)}
        assert (await client.with_key("another").get(f"/get_result/{job_id}")).status == 404


@in_virtual_time
async def test_keys_are_checked() -> None:
    policy = SandboxPolicy(api_keys=(Secret("good"),))
    async with a_sandbox(policy) as (_, client):
        for denied in (client, client.with_key(""), client.with_key("bad")):
            assert (await denied.post("/submit_job", JOB)).status == 401
            assert (await denied.post("/chat/completions", CHAT)).status == 401
            assert (await denied.get("/get_result/x")).status == 401
            assert (await denied.get("/get_completion_time/x")).status == 401
        assert (await client.with_key("good").post("/submit_job", JOB)).status == 200


@in_virtual_time
async def test_jobs_above_the_bound_are_429() -> None:
    async with a_sandbox(SandboxPolicy(max_pending=1)) as (_, client):
        developer = client.with_key()
        assert (await developer.post("/submit_job", JOB)).status == 200
        full = await developer.post("/submit_job", JOB)
        assert (full.status, full.headers["retry-after"]) == (429, "1")


@in_virtual_time
async def test_odd_jobs_are_handed_on_as_they_are() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        odd = {"model": "m", "messages": [], "max_output": -1, "temperature": None, "extra": 1}
        assert (await client.with_key().post("/submit_job", odd)).status == 200
        job = (await node.get("/worker/get_job")).json["job_data"]
        assert (job["messages"], job["max_output"], job["temperature"]) == ([], -1, None)


@in_virtual_time
async def test_chat_waits_for_its_answer() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        chat = asyncio.create_task(client.with_key().post("/chat/completions", CHAT))
        await asyncio.sleep(100)
        await work(node)
        answered = await chat
        assert answered.status == 200
        reply = ChatReply.model_validate(answered.json)
        assert reply.choices[0].message.content == "answer"
        assert (await client.with_key().get(f"/get_result/{reply.id}")).status == 200


@in_virtual_time
async def test_chat_tells_of_an_error() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        for error, said in [("no engine", "no engine"), ("", "the job failed")]:
            chat = asyncio.create_task(client.with_key().post("/chat/completions", CHAT))
            await work(node, error=error)
            answered = await chat
            assert (answered.status, answered.json["detail"]) == (502, said)


@pytest.mark.parametrize(
    ("asked", "waits_s"), [(7, 7), (None, 240), (0, 240), (-1, 240), ("absent", 240), (100_000, 600)]
)
def test_chat_waits_no_longer_than_asked(asked: Any, waits_s: float) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox() as (_, client):
            request = CHAT if asked == "absent" else {**CHAT, "request_timeout_time": asked}
            began = asyncio.get_running_loop().time()
            answered = await client.with_key().post("/chat/completions", request)
            assert answered.status == 504
            assert asyncio.get_running_loop().time() - began == pytest.approx(waits_s)
            assert (await client.with_key().get(f"/get_result/{answered.json['job_id']}")).status == 404

    run()


@in_virtual_time
async def test_chat_with_a_client_that_leaves_ends_and_the_job_stays() -> None:
    async with a_sandbox() as (running, client):
        developer = client.with_key()
        chat = asyncio.create_task(developer.post("/chat/completions", CHAT))
        await asyncio.sleep(5)
        developer.leaves.set()
        began = asyncio.get_running_loop().time()
        assert (await chat).status == 499
        assert asyncio.get_running_loop().time() == began
        assert running.gateway.pending == 1


@in_virtual_time
async def test_chat_whose_request_is_cancelled_leaves_no_task() -> None:
    async with a_sandbox() as (_, client):
        chat = asyncio.create_task(client.with_key().post("/chat/completions", CHAT))
        await asyncio.sleep(5)
        chat.cancel()
        with pytest.raises(asyncio.CancelledError):
            await chat


@in_virtual_time
async def test_chat_ends_when_the_sandbox_does() -> None:
    async with a_sandbox() as (running, client):
        chat = asyncio.create_task(client.with_key().post("/chat/completions", CHAT))
        await asyncio.sleep(5)
        running.quiesce()
        assert (await chat).status == 504
        assert (await client.with_key().post("/chat/completions", CHAT)).status == 504


@in_virtual_time
async def test_the_networks_figures_are_told_with_and_without_a_key() -> None:
    policy = SandboxPolicy(api_keys=(Secret("developer"),))
    async with a_sandbox(policy) as (_, client):
        node = await enter(client, "a", "m", "n")
        await client.with_key().post("/submit_job", JOB)
        await work(node)
        await client.with_key().post("/submit_job", JOB)
        for asker in (client, client.with_key()):
            assert (await asker.get("/available_models")).json == {"models": ["m", "n"]}
            assert (await asker.get("/active_node_count")).json == {"active_node_count": 1}
            assert (await asker.get("/total_job_count")).json == {"total_job_count": 2}
            count = await asker.get("/node_job_count?node_name=a")
            assert count.json == {"node_name": "a", "node_job_count": 1}
            assert (await asker.get("/node_job_count")).status == 422
            assert (await asker.get("/network_stats")).json == {
                "active_nodes": 1,
                "known_nodes": 1,
                "available_models": ["m", "n"],
                "total_jobs": 2,
                "answered_jobs": 1,
                "pending_jobs": 1,
            }
        bad = client.with_key("bad")
        for path in ("available_models", "active_node_count", "total_job_count", "node_job_count", "network_stats"):
            assert (await bad.get(f"/{path}")).status == 401
