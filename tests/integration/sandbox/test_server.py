"""The sandbox behind a real server on loopback, called by httpx."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.domain.errors import InvalidInput
from node.domain.events import Crash
from node.domain.secret import Secret
from node.runtime.tasks import TaskOwner
from node.sandbox.assembly import Sandbox, served_sandbox, system_surroundings
from node.sandbox.faults import TRANSPORT
from node.sandbox.policy import FaultKind, FaultRule, SandboxPolicy
from node.sandbox.server import ServerHandle, serving
from tests.support.waiting import wait_until

JOB = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_output": 8, "temperature": 0.5}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0.5}
KEY = {"api_key": "developer"}


def calling(url: str = "", headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """A client that is quick to make: it has no certificates to load."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False, verify=context)


@contextlib.asynccontextmanager
async def running(policy: SandboxPolicy | None = None) -> AsyncIterator[tuple[Sandbox, httpx.AsyncClient]]:
    crashes: list[Crash] = []
    policy = policy or SandboxPolicy()
    async with (
        served_sandbox(policy, system_surroundings(policy, crashes.append)) as (sandbox, handle),
        calling(handle.url) as client,
    ):
        yield sandbox, client
    assert not crashes


async def enter(client: httpx.AsyncClient, name: str = "a") -> dict[str, str]:
    reply = await client.post("/worker/register_node", json={"node_url": name})
    bearer = {"authorization": f"Bearer {reply.json()['access_token']}"}
    models = {"node_url": name, "models": ["m"]}
    assert (await client.post("/worker/update_models", json=models, headers=bearer)).status_code == 200
    return bearer


def answer(job: dict[str, Any], text: str = "answer") -> dict[str, Any]:
    return {
        "job_id": job["job_id"],
        "api_key": job["api_key"],
        "model_name": job["model"],
        "result": {"message": {"role": "assistant", "content": text}},
        "status": "success",
    }


async def test_a_job_from_the_developer_to_the_node_and_back() -> None:
    async with running() as (sandbox, client):
        bearer = await enter(client)
        chat = asyncio.create_task(client.post("/chat/completions", json=CHAT, headers=KEY))
        await wait_until(lambda: sandbox.gateway.pending == 1)
        polled = await client.get("/worker/get_job", params={"node_version": "0.0.4"}, headers=bearer)
        assert "date" in polled.headers
        text = "ünïcode 🙂"
        reply = await client.post("/worker/update_result", json=answer(polled.json()["job_data"], text), headers=bearer)
        assert reply.status_code == 200
        assert (await chat).json()["choices"][0]["message"]["content"] == text
        control = {"x-control-token": sandbox.control_token.reveal()}
        ledger = (await client.get("/sandbox/ledger", headers=control)).json()
        assert (ledger["submitted"], ledger["accepted"], ledger["lost"]) == (1, 1, 0)
        assert (await client.get("/ip")).json() == {"ip": "127.0.0.1"}


async def test_one_connection_serves_many_requests() -> None:
    async with running() as (_, client):
        bearer = await enter(client)
        for _ in range(20):
            assert (await client.get("/worker/get_job", headers=bearer)).content == b'{"job_data":null}'


async def test_many_nodes_answer_each_job_once() -> None:
    async with running(SandboxPolicy(points_per_minute=0)) as (sandbox, client):
        bearers = [await enter(client, f"node-{number}") for number in range(8)]
        for _ in range(40):
            await client.post("/submit_job", json=JOB, headers=KEY)

        async def work(bearer: dict[str, str]) -> None:
            while (job := (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]) is not None:
                reply = await client.post("/worker/update_result", json=answer(job), headers=bearer)
                assert reply.status_code == 200

        await asyncio.gather(*map(work, bearers))
        totals = await sandbox.gateway.totals()
        assert (totals.submitted, totals.accepted, totals.claims, totals.points) == (40, 40, 40, 40)


async def test_an_oversized_body_is_413_and_a_big_one_is_taken() -> None:
    async with running(SandboxPolicy(max_request_bytes=6 * 1024 * 1024)) as (_, client):
        big = {**JOB, "messages": [{"role": "user", "content": "x" * 5 * 1024 * 1024}]}
        assert (await client.post("/submit_job", json=big, headers=KEY)).status_code == 200
        big["messages"] = [{"role": "user", "content": "x" * 7 * 1024 * 1024}]
        assert (await client.post("/submit_job", json=big, headers=KEY)).status_code == 413
        assert (await client.get("/worker/ping")).status_code == 200


async def test_a_defect_is_a_500_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (sandbox, client):

        def broken(_node: str, _pub_key: str, _account: str) -> bool:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(type(sandbox.gateway), "identity_holds", lambda _self, *given: broken(*given))
        reply = await client.post("/node/check", json={"node_id": "a", "pub_key": "k", "account_id": "c"})
        assert (reply.status_code, reply.json()) == (500, {"detail": "Internal Server Error"})


async def test_a_chat_client_that_leaves_frees_its_request() -> None:
    async with running() as (sandbox, client):
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/chat/completions", json=CHAT, headers=KEY, timeout=0.2)
        assert sandbox.gateway.pending == 1
        await wait_until(lambda: not watchers())


def watchers() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "client-departure"]


async def test_a_stop_answers_the_chats_that_wait() -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(calling())
        async with running() as (sandbox, inner):
            chat = asyncio.create_task(client.post(f"{inner.base_url}/chat/completions", json=CHAT, headers=KEY))
            await wait_until(lambda: sandbox.gateway.pending == 1)
        assert (await chat).status_code == 504


@pytest.mark.parametrize(
    ("kind", "error", "submitted"),
    [
        ("cut", httpx.RemoteProtocolError, 1),
        ("reset", (httpx.RemoteProtocolError, httpx.ReadError), 0),
        ("hang", httpx.ReadTimeout, 0),
    ],
)
async def test_broken_connections_as_a_client_sees_them(
    kind: FaultKind,
    error: type[Exception] | tuple[type[Exception], ...],
    submitted: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(SandboxPolicy(faults=(FaultRule("submit_job", kind, count=1),))) as (sandbox, client):
        with pytest.raises(error):
            await client.post("/submit_job", json=JOB, headers=KEY, timeout=0.3 if kind == "hang" else 10)
        assert (await client.post("/submit_job", json=JOB, headers=KEY)).status_code == 200
        assert sandbox.gateway.pending == 1 + submitted
        await wait_until(lambda: not watchers())
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_a_hang_does_not_hold_up_the_stop() -> None:
    async with running(SandboxPolicy(faults=(FaultRule("ping", "hang"),))) as (_, client):
        hanging = asyncio.create_task(client.get("/worker/ping"))
        await wait_until(watchers)
    with pytest.raises(httpx.TransportError):
        await hanging


async def test_a_taken_port_is_refused_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"127\.0\.0\.1:{port}.*taken.*another port"):
            async with running(SandboxPolicy(port=port)):
                pass


async def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"192\.0\.2\.1:0"):
        async with running(SandboxPolicy(host="192.0.2.1")):
            pass


async def test_a_stopped_server_frees_its_port() -> None:
    tasks = TaskOwner(print)
    async with running() as (sandbox, _):
        async with serving(sandbox.app, tasks, grace_s=1) as first:
            pass
        async with serving(sandbox.app, tasks, port=first.port, grace_s=1) as second:
            assert second.port == first.port
        await tasks.join()


async def test_replies_do_not_wait_for_acknowledgements() -> None:
    seen: list[int] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        connection = scope[TRANSPORT].get_extra_info("socket")
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await Response(b"")(scope, _receive, send)

    tasks = TaskOwner(print)
    async with serving(app, tasks, grace_s=1) as handle, calling(handle.url) as client:
        assert (await client.get("/")).status_code == 200
    await tasks.join()
    assert all(seen)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert ServerHandle("::1", 80).url == "http://[::1]:80"


async def test_the_control_token_is_random_unless_set() -> None:
    policy = SandboxPolicy(control_token=Secret("mine"))
    assert system_surroundings(policy, print).control_token == Secret("mine")
    tokens = {system_surroundings(SandboxPolicy(), print).control_token for _ in range(2)}
    assert len(tokens) == 2


async def test_a_client_that_goes_away_within_its_request_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as (_, client):
        for path in ("/submit_job", "/check_node_secret"):
            _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
            await writer.drain()
            assert (await client.get("/network_stats")).status_code == 200
            writer.close()
            await writer.wait_closed()
            assert (await client.get("/network_stats")).status_code == 200
    assert "Exception in ASGI application" not in caplog.text
