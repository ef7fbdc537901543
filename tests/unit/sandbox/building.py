"""Gateways for tests: in virtual time, without a server, with counting names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.domain.events import Crash
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.protocol.messages import AnswerMessage, InputMessage, JobRequest, ResultBody, ResultUpdate
from node.sandbox.assembly import Sandbox, Surroundings, sandbox
from node.sandbox.broker import MemoryBroker
from node.sandbox.gateway import Gateway
from node.sandbox.jobs import JobRecord
from node.sandbox.journal import Journal, NullJournal, Recorded
from node.sandbox.nodes import NodeRecord
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import VirtualClock

SECRET = Secret("a-secret-that-is-long-enough-for-hs256")
KEY = Secret("developer")
CONTROL = "control"


class CountingIds:
    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012}"


def no_crash(crash: Crash) -> None:
    raise AssertionError(f"{crash.task}: {crash.error}\n{crash.trace}")


@contextlib.asynccontextmanager
async def a_gateway(
    policy: SandboxPolicy | None = None, journal: Journal | None = None, recorded: Recorded | None = None
) -> AsyncIterator[Gateway]:
    crashes: list[Crash] = []
    gateway = Gateway(
        policy or SandboxPolicy(),
        SECRET,
        broker=MemoryBroker(),
        journal=journal or NullJournal(),
        clock=VirtualClock(),
        ids=CountingIds(),
        on_crash=crashes.append,
    )
    await gateway.start(recorded or Recorded(secret=SECRET))
    try:
        yield gateway
    finally:
        await gateway.aclose()
    assert not crashes


def surroundings(seed: int = 1) -> Surroundings:
    return Surroundings(
        clock=VirtualClock(),
        random=random.Random(seed),
        ids=CountingIds(),
        secret=SECRET,
        control_token=Secret(CONTROL),
        on_crash=no_crash,
    )


@contextlib.asynccontextmanager
async def a_sandbox(policy: SandboxPolicy | None = None, seed: int = 1) -> AsyncIterator[tuple[Sandbox, Client]]:
    async with sandbox(policy or SandboxPolicy(), surroundings(seed)) as running:
        yield running, Client(running.app)


async def join(gateway: Gateway, name: str, *models: str) -> NodeRecord:
    token = await gateway.register(NodeId(name), "0.0.4")
    node = gateway.authenticate(token)
    await gateway.update_models(node, name, models or ("m",))
    return node


async def submit(gateway: Gateway, model: str = "m", text: str = "hi") -> JobRecord:
    request = JobRequest(model=model, messages=[InputMessage(role="user", content=text)], max_output=8)
    return await gateway.submit(request, KEY)


def result(job: JobRecord, text: str = "answer", *, error: str | None = None) -> ResultUpdate:
    return ResultUpdate(
        job_id=job.job_id,
        api_key=job.api_key.reveal(),
        model_name=job.model,
        result=ResultBody(message=AnswerMessage(content=text), error=error),
        status="error" if error else "success",
    )


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Calls an ASGI application without a server; `with_token` and `with_key` say who calls."""

    app: Any
    headers: Sequence[tuple[bytes, bytes]] = ()
    leaves: asyncio.Event = field(default_factory=asyncio.Event)
    peer: tuple[str, int] | None = ("192.0.2.7", 5000)

    def with_header(self, name: str, value: str) -> Client:
        return replace(self, headers=(*self.headers, (name.encode(), value.encode())))

    def with_token(self, token: str) -> Client:
        return self.with_header("authorization", f"Bearer {token}")

    def with_key(self, key: str = KEY.reveal()) -> Client:
        return self.with_header("api_key", key)

    def with_control(self, token: str = CONTROL) -> Client:
        return self.with_header("x-control-token", token)

    async def get(self, path: str) -> Answered:
        return await self.call("GET", path)

    async def post(self, path: str, content: Any) -> Answered:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.call("POST", path, body)

    async def call(self, method: str, path: str, body: bytes = b"", chunk: int = 65536) -> Answered:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": list(self.headers),
            "client": self.peer,
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
        }
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await self.leaves.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        assert sent, "no answer"
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]))


async def enter(client: Client, name: str, *models: str) -> Client:
    """A node's steps 2 to 5 over the wire; a client that bears its token."""
    assert (await client.post("/check_node_secret", {"node_id": name, "secret": "s"})).status == 200
    identity = {"node_id": name, "pub_key": "k", "account_id": "a"}
    assert (await client.post("/node/check", identity)).json == {"valid_credentials": True}
    token = (await client.post("/worker/register_node", {"node_url": name, "node_version": "0.0.4"})).json
    bearer = client.with_token(token["access_token"])
    models_update = {"node_url": name, "models": list(models or ("m",))}
    assert (await bearer.post("/worker/update_models", models_update)).status == 200
    return bearer


JOB = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_output": 8, "temperature": 0.5}


def wire_result(job: Mapping[str, Any], text: str = "answer") -> dict[str, Any]:
    return {
        "job_id": job["job_id"],
        "api_key": job["api_key"],
        "model_name": job["model"],
        "result": {"message": {"role": "assistant", "content": text}},
        "status": "success",
    }
