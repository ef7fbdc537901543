"""The node's side of the wire, over ASGI in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.protocol.routes import Step
from node.protocol.verdict import judge
from node.sandbox.app import Dated, create_app
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.sandbox.building import (
    JOB,
    Answered,
    Client,
    a_gateway,
    a_sandbox,
    enter,
    wire_result,
)
from tests.unit.sandbox.test_durability import SlowJournal


def ruling(step: Step, answered: Answered) -> Ruling:
    return judge(step, answered.status, answered.headers, answered.body).verdict.ruling


@in_virtual_time
async def test_a_nodes_whole_life_as_the_client_judges_it() -> None:
    async with a_sandbox(SandboxPolicy(points_per_minute=0)) as (_, client):
        assert ruling(Step.PING, await client.get("/worker/ping")) is Ruling.OK
        secret = await client.post("/check_node_secret", {"node_id": "a", "secret": "s"})
        assert ruling(Step.CHECK_SECRET, secret) is Ruling.OK
        identity = {"node_id": "a", "pub_key": "k", "account_id": "acc"}
        assert ruling(Step.CHECK_IDENTITY, await client.post("/node/check", identity)) is Ruling.OK
        registration = {
            "node_url": "a",
            "node_version": "0.0.4",
            "stats": {"ram": 1, "cpu": 1, "vram": 1, "gpu": "g", "os": "o"},
        }
        granted = await client.post("/worker/register_node", registration)
        assert ruling(Step.REGISTER, granted) is Ruling.OK
        node = client.with_token(granted.json["access_token"])
        models = await node.post("/worker/update_models", {"node_url": "a", "models": ["m"]})
        assert ruling(Step.UPDATE_MODELS, models) is Ruling.OK
        empty = await node.get("/worker/get_job?node_version=0.0.4")
        assert empty.body == b'{"job_data":null}'
        assert ruling(Step.POLL, empty) is Ruling.NO_JOB
        ticket = (await client.with_key().post("/submit_job", JOB)).json
        polled = await node.get("/worker/get_job?node_version=0.0.4")
        assert ruling(Step.POLL, polled) is Ruling.OK
        job = polled.json["job_data"]
        assert job == {"job_id": ticket["job_id"], "api_key": "developer", **JOB}
        taken = await node.post("/worker/update_result", wire_result(job))
        assert ruling(Step.UPDATE_RESULT, taken) is Ruling.OK
        again = await node.post("/worker/update_result", wire_result(job))
        assert again.status == 409
        assert ruling(Step.UPDATE_RESULT, again) is Ruling.ALREADY
        points = await node.get("/get_points?node_name=a")
        assert points.json == {"points": 1.0, "pointsraw": 1.0}
        assert ruling(Step.POINTS, points) is Ruling.OK
        assert ruling(Step.LEAVE, await node.post("/worker/deregister_node", {"node_url": "a"})) is Ruling.OK
        assert ruling(Step.POLL, await node.get("/worker/get_job")) is Ruling.SESSION_LOST


@in_virtual_time
async def test_a_wrong_secret_and_a_wrong_identity_are_refused() -> None:
    async with a_sandbox() as (_, client):
        await enter(client, "a")
        wrong = await client.post("/check_node_secret", {"node_id": "a", "secret": "other"})
        assert (wrong.status, wrong.json) == (401, {"detail": "the secret is wrong"})
        denied = await client.post("/node/check", {"node_id": "a", "pub_key": "", "account_id": "x"})
        assert (denied.status, denied.json) == (200, {"valid_credentials": False})


@in_virtual_time
async def test_closed_registration_over_the_wire() -> None:
    policy = SandboxPolicy(open_registration=False, node_secrets={NodeId("a"): Secret("s")})
    async with a_sandbox(policy) as (_, client):
        await enter(client, "a")
        assert (await client.post("/check_node_secret", {"node_id": "b", "secret": "s"})).status == 401
        assert (await client.post("/worker/register_node", {"node_url": "b"})).status == 401


BEARER_ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/worker/get_job", None),
    ("POST", "/worker/update_models", {"node_url": "a", "models": []}),
    ("POST", "/worker/update_result", wire_result({"job_id": "j", "api_key": "k", "model": "m"})),
    ("GET", "/get_points?node_name=a", None),
    ("POST", "/worker/deregister_node", {"node_url": "a"}),
]


async def send(client: Client, method: str, path: str, content: Any) -> Answered:
    return await client.get(path) if method == "GET" else await client.post(path, content)


@pytest.mark.parametrize(("method", "path", "content"), BEARER_ROUTES)
def test_without_a_good_token_it_is_401(method: str, path: str, content: Any) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox(SandboxPolicy(token_lifetime_s=60)) as (_, client):
            node = await enter(client, "a")
            basic = client.with_header("authorization", "Basic abc")
            for denied in (client, basic, client.with_token("forged.token.here"), client.with_token("")):
                answered = await send(denied, method, path, content)
                assert (answered.status, answered.headers["www-authenticate"]) == (401, "Bearer")
                assert set(answered.json) == {"detail"}
            assert (await send(node, method, path, content)).status != 401
            await asyncio.sleep(61)
            expired = await send(node, method, path, content)
            assert (expired.status, expired.json) == (401, {"detail": "the token has expired"})

    run()


@pytest.mark.parametrize(
    ("method", "path", "content"), [route for route in BEARER_ROUTES if "update_result" not in route[1]]
)
def test_after_leaving_it_is_400_for_what_needs_a_session(method: str, path: str, content: Any) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox() as (_, client):
            node = await enter(client, "a")
            assert (await node.post("/worker/deregister_node", {"node_url": "a"})).status == 200
            expected = 200 if "deregister" in path else 400
            assert (await send(node, method, path, content)).status == expected

    run()


@in_virtual_time
async def test_another_nodes_name_is_403() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        assert (await node.get("/get_points?node_name=b")).status == 403
        assert (await node.post("/worker/update_models", {"node_url": "b", "models": []})).status == 403
        assert (await node.post("/worker/deregister_node", {"node_url": "b"})).status == 403


@in_virtual_time
async def test_a_result_of_a_job_never_claimed_is_404_and_of_another_key_422() -> None:
    async with a_sandbox() as (_, client):
        node, other = await enter(client, "a"), await enter(client, "b")
        await client.with_key().post("/submit_job", JOB)
        job = (await node.get("/worker/get_job")).json["job_data"]
        assert (await other.post("/worker/update_result", wire_result(job))).status == 404
        unknown = await node.post("/worker/update_result", wire_result({**job, "job_id": "x"}))
        assert unknown.status == 404
        assert ruling(Step.UPDATE_RESULT, unknown) is Ruling.DEAD_LETTER
        assert (await node.post("/worker/update_result", wire_result({**job, "api_key": "x"}))).status == 422


@in_virtual_time
async def test_a_result_may_be_a_bare_string() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        ticket = (await client.with_key().post("/submit_job", JOB)).json
        job = (await node.get("/worker/get_job")).json["job_data"]
        assert (
            await node.post("/worker/update_result", {**wire_result(job), "result": {"message": "bare"}})
        ).status == 200
        outcome = (await client.with_key().get(f"/get_result/{ticket['job_id']}")).json
        assert outcome["result"]["message"] == {"role": "assistant", "content": "bare"}


POSTS = [
    "/check_node_secret",
    "/node/check",
    "/worker/register_node",
    "/worker/update_models",
    "/worker/update_result",
    "/worker/deregister_node",
    "/submit_job",
    "/chat/completions",
    "/sandbox/feeder",
    "/sandbox/faults",
]
BAD_BODIES = [b"", b"{", b"null", b"[]", b"42", b'"text"', b"\xff\xfe", b'{"node_url": 5, "rules": 5, "running": "x"}']


@pytest.mark.parametrize("path", POSTS)
def test_a_malformed_body_is_422(path: str) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox() as (_, client):
            node = (await enter(client, "a")).with_key().with_control()
            for body in BAD_BODIES:
                answered = await node.post(path, body)
                assert answered.status == 422
                assert answered.json["detail"][0]["loc"][0] == "body"

    run()


@in_virtual_time
async def test_what_a_body_holds_is_not_repeated_in_its_refusal() -> None:
    async with a_sandbox() as (_, client):
        answered = await client.post("/check_node_secret", {"node_id": 7, "secret": ["hidden-secret"]})
        assert answered.status == 422
        assert b"hidden" not in answered.body


@pytest.mark.parametrize("path", POSTS)
def test_an_oversized_body_is_413(path: str) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_sandbox(SandboxPolicy(max_request_bytes=2000)) as (_, client):
            node = (await enter(client, "a")).with_key().with_control()
            for chunk in (1000, 65536):
                answered = await node.call("POST", path, b" " * 2001, chunk)
                assert (answered.status, set(answered.json)) == (413, {"detail"})

    run()


@in_virtual_time
async def test_points_without_a_name_are_422() -> None:
    async with a_sandbox() as (_, client):
        node = await enter(client, "a")
        assert (await node.get("/get_points")).json["detail"][0]["loc"] == ["query", "node_name"]


@in_virtual_time
async def test_what_does_not_exist_is_refused_as_json() -> None:
    async with a_sandbox() as (_, client):
        assert (await client.get("/nothing")).status == 404
        assert (await client.get("/worker/ping/")).status == 404
        for method, path in [("POST", "/worker/get_job"), ("HEAD", "/worker/get_job"), ("GET", "/submit_job")]:
            answered = await client.call(method, path)
            assert (answered.status, answered.json) == (405, {"detail": "Method Not Allowed"})


@in_virtual_time
async def test_the_ip_echo_tells_the_peers_address() -> None:
    async with a_sandbox() as (running, client):
        forwarded = client.with_header("x-forwarded-for", "203.0.113.9")
        assert (await forwarded.get("/ip")).json == {"ip": "192.0.2.7"}
        assert (await Client(running.app, peer=None).get("/ip")).json == {"ip": None}


@in_virtual_time
async def test_a_disk_that_fails_is_503_and_worth_another_try() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        client = Client(create_app(gateway))
        node = await enter(client, "a")
        await client.with_key().post("/submit_job", JOB)
        job = (await node.get("/worker/get_job")).json["job_data"]
        await client.with_key().post("/submit_job", JOB)
        journal.broken = True
        for step, answered in [
            (Step.POLL, await node.get("/worker/get_job")),
            (Step.UPDATE_RESULT, await node.post("/worker/update_result", wire_result(job))),
            (Step.SUBMIT_JOB, await client.with_key().post("/submit_job", JOB)),
        ]:
            assert (answered.status, answered.headers["retry-after"]) == (503, "1")
            assert b"disk" not in answered.body
            assert ruling(step, answered) is Ruling.RETRY


@in_virtual_time
async def test_a_dated_application_tells_the_injected_time() -> None:
    async with a_sandbox() as (running, _):
        client = Client(Dated(running.app, VirtualClock(skew_s=3600)))
        node = await enter(client, "a")
        for path in ("/worker/ping", "/worker/get_job"):
            assert (await node.get(path)).headers["date"] == "Tue, 14 Nov 2023 23:13:20 GMT"


@in_virtual_time
async def test_a_defect_is_a_500_without_details() -> None:
    async with a_gateway() as gateway:
        client = Client(create_app(gateway))

        def broken(node_id: str, pub_key: str, account_id: str) -> bool:
            raise ZeroDivisionError("secret detail")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gateway, "identity_holds", broken)
            sent: list[Answered] = []

            async def call() -> None:
                sent.append(await client.post("/node/check", {"node_id": "a", "pub_key": "k", "account_id": "c"}))

            with pytest.raises(ZeroDivisionError):
                await call()
