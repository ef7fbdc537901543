"""Each thing that keeps a node from working is told apart from all others, with what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from node.app.doctor import engines, outlets
from node.app.doctor import gateway as gateways
from node.app.doctor.examine import examine
from node.app.doctor.findings import Finding
from node.app.production_plan import claim_identity, read_production
from node.domain.identity import Hardware
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import FaultRule, KnownIdentity, SandboxPolicy
from node.sandbox.process import SandboxProcess
from node.settings.load import load
from tests.contract.transport.certificates import make_authority, make_server, server_context, write_certificate
from tests.unit.executors.ollama_server import Exchange, OllamaServer, listing, refusing, stalling

HARDWARE = Hardware(16384, 8, 12288, "RTX", "Debian")
SECRET = "the-secret-of-node-1"
KNOWN = {
    "node_secrets": {NodeId("n1"): Secret(SECRET)},
    "identities": {NodeId("n1"): KnownIdentity("0xabc", AccountId("a1"))},
}


@asynccontextmanager
async def gateway(**policy: Any) -> AsyncIterator[str]:
    tasks = TaskOwner(lambda _: None)
    process = await SandboxProcess.start(SandboxPolicy(**{**KNOWN, **policy}), tasks, on_line=lambda _: None)
    try:
        yield process.handshake.url
    finally:
        await process.stop()
        await tasks.cancel()


@pytest.fixture
async def engine() -> AsyncIterator[OllamaServer]:
    server = OllamaServer(tags=listing({"name": "gemma2:2b", "model": "gemma2:2b", "size": 1_600_000_000}))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class LateClock(SystemClock):
    """A machine's clock that is ten minutes fast."""

    def wall(self) -> float:
        return super().wall() + 600


Examine = Callable[..., Any]


@pytest.fixture
def examined(tmp_path: Path, engine: OllamaServer) -> Examine:
    """Examine a node in an empty folder, good but for what is said; the findings that are no pass, by name."""

    async def run(
        url: str, clock: SystemClock | None = None, *, claim: bool = False, **environ: str
    ) -> dict[str, Finding]:
        given = {
            "API_GATEWAY_URL": url,
            "OLLAMA_BASE_URL": engine.url,
            "NODE_ID": "n1",
            "NODE_SECRET": SECRET,
            "ACCOUNT_ID": "a1",
            "NODE_PUB_KEY": "0xabc",
            "HEALTH_PORT": "0",
            "LLM_NODE_STATE_DIR": str(tmp_path / "state"),
        }
        loaded = load(config_file=None, profile=None, flags={}, environ={**given, **environ}, cwd=tmp_path)
        plan, faults = read_production(loaded, tmp_path, HARDWARE, claim=claim)
        found = [finding async for finding in examine(plan, clock or SystemClock(), faults)]
        assert all(finding.remedy for finding in found if finding.status == "fail")
        assert SECRET not in str(found)
        return {finding.name: finding for finding in found if finding.status != "pass"}

    return run


def is_failed(finding: Finding, remedy: str) -> bool:
    return finding.status == "fail" and remedy in finding.remedy


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """An address where connections are taken and nothing is said."""
    streams: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: streams.append(writer), "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for stream in streams:
            stream.close()


async def test_where_all_are_silent_the_end_comes_soon(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * gateways._PROXY_S + max(2 * gateways._GATEWAY_S, gateways._AUTH_S) <= 30
    assert engines._LIST_S + engines._TOKEN_S <= 30
    for module, name in ((gateways, "_GATEWAY_S"), (gateways, "_AUTH_S"), (engines, "_LIST_S")):
        monkeypatch.setattr(module, name, 0.8)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with silence() as one, silence() as two, silence() as three:
        found = await examined(one, API_AUTH_URL=two, OLLAMA_BASE_URL=three)
    assert loop.time() - started < 1.6, "they are asked one after the other"
    assert is_failed(found["gateway"], "it is silent")
    assert is_failed(found["auth"], "nodes give it 90 s")
    assert is_failed(found["engine"], "start it")


async def test_an_engine_that_loads_for_long(
    examined: Examine, engine: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_TOKEN_S", 0.2)
    engine.default = stalling()
    async with gateway() as url:
        found = await examined(url)
    assert set(found) == {"engine"}
    assert is_failed(found["engine"], "ask again in a minute")


async def test_a_node_that_can_work(examined: Examine, tmp_path: Path) -> None:
    async with gateway() as url:
        assert await examined(url) == {}
    assert not (tmp_path / "state").exists(), "nothing is changed"


async def test_a_gateway_that_is_not_there(examined: Examine) -> None:
    found = await examined(f"http://127.0.0.1:{free_port()}")
    assert is_failed(found["gateway"], "check the address, the network and firewalls")
    assert "refused" in found["gateway"].detail
    assert {name: finding.status for name, finding in found.items()} == {
        "gateway": "fail",
        "clock": "warn",
        "secret": "warn",
        "identity": "warn",
    }


async def test_a_certificate_of_another_name(examined: Examine, tmp_path: Path) -> None:
    authority = make_authority()
    identity = make_server(authority, x509.DNSName("another.test"))
    ca = write_certificate(authority, tmp_path / "ca.pem")
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=server_context(identity, tmp_path))
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await examined(f"https://127.0.0.1:{port}", LLM_NODE_GATEWAY__CA_FILE=str(ca))
    assert is_failed(found["gateway"], "the name that its certificate bears")
    assert "certificate" in found["gateway"].detail


async def test_a_clock_that_is_ten_minutes_fast(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, LateClock())
    assert set(found) == {"clock"}
    assert "ahead of the gateway" in found["clock"].detail
    assert is_failed(found["clock"], "timedatectl")


async def test_a_wrong_secret(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, NODE_SECRET="another-secret")
    assert set(found) == {"secret"}
    assert is_failed(found["secret"], "NODE_SECRET")


@pytest.mark.parametrize("wrong", [{"ACCOUNT_ID": "a2"}, {"NODE_PUB_KEY": "0xdef"}])
async def test_an_unknown_account(examined: Examine, wrong: dict[str, str]) -> None:
    async with gateway() as url:
        found = await examined(url, **wrong)
    assert set(found) == {"identity"}
    assert is_failed(found["identity"], "ACCOUNT_ID")


@pytest.mark.parametrize("silent", [True, False])
async def test_an_auth_service_that_is_down(examined: Examine, silent: bool) -> None:
    faults = () if silent else (FaultRule("check_identity", "status", status=503),)
    async with gateway(faults=faults) as url:
        elsewhere = {"API_AUTH_URL": f"http://127.0.0.1:{free_port()}"} if silent else {}
        found = await examined(url, **elsewhere)
    assert set(found) == {"auth"}
    assert is_failed(found["auth"], "is it running?" if silent else "nodes wait for it by themselves")


async def test_a_dead_proxy(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(
            url, NODE_PROXY=f"user:hunter2-pass@127.0.0.1:{free_port()}", LLM_NODE_PROXY__ECHO_URL=f"{url}/ip"
        )
    assert is_failed(found["proxy"], "correct its address and password")
    others = {finding.status for name, finding in found.items() if name != "proxy"}
    assert others == {"warn"}, "a node with a proxy goes by no other way"
    assert "hunter2" not in str(found)


async def test_an_engine_that_is_down(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, OLLAMA_BASE_URL=f"http://127.0.0.1:{free_port()}")
    assert set(found) == {"engine"}
    assert is_failed(found["engine"], "start it, or correct its address")
    assert found["engine"].detail.startswith("ollama is not there")


async def test_an_engine_that_does_not_generate(examined: Examine, engine: OllamaServer) -> None:
    engine.default = refusing(500, "out of memory")
    async with gateway() as url:
        found = await examined(url)
    assert set(found) == {"engine"}
    assert "out of memory" in found["engine"].detail
    assert is_failed(found["engine"], "the engine's own log")


async def test_a_model_that_is_missing(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, ALLOWED_MODELS="gemma2:2b,llama3.1:latest")
    assert set(found) == {"models"}
    assert is_failed(found["models"], "ollama pull llama3.1:latest")


async def test_a_disk_that_is_full(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, LLM_NODE_OUTBOX__MIN_FREE_MB="1000000")
    assert set(found) == {"disk"}
    assert is_failed(found["disk"], "make room")
    assert "no job is claimed" in found["disk"].detail


async def test_a_state_folder_that_cannot_be(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, LLM_NODE_STATE_DIR="x" * 300)
    assert set(found) == {"disk", "outbox"}
    assert is_failed(found["disk"], "--state-dir")
    assert is_failed(found["outbox"], "--state-dir")


async def test_a_port_that_is_taken(examined: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with gateway() as url:
            found = await examined(url, HEALTH_PORT=str(taken.getsockname()[1]))
    assert set(found) == {"port"}
    assert is_failed(found["port"], "HEALTH_PORT")


async def test_a_machine_without_a_gpu_is_no_failure(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "HARDWARE", replace(HARDWARE, vram_mb=0, gpu="none"))
    async with gateway() as url:
        found = await examined(url)
    assert [finding.status for finding in found.values()] == ["warn"]


async def test_who_the_node_is_may_be_missing_and_the_rest_is_looked_at(
    examined: Examine, engine: OllamaServer
) -> None:
    engine.default = refusing(500, "out of memory")
    async with gateway() as url:
        found = await examined(url, NODE_ID="", NODE_SECRET="", ACCOUNT_ID="", NODE_PUB_KEY="")
    grades = {name: finding.status for name, finding in found.items()}
    assert grades == {"config": "fail", "secret": "warn", "identity": "warn", "engine": "fail"}
    assert "nothing says who" in found["config"].detail


async def test_the_gateway_may_be_missing_and_the_rest_is_looked_at(examined: Examine, engine: OllamaServer) -> None:
    engine.default = refusing(500, "out of memory")
    found = await examined("")
    assert {name: finding.status for name, finding in found.items()} == {"config": "fail", "engine": "fail"}
    assert is_failed(found["config"], "API_GATEWAY_URL")


HEAD = "node_id,secret,account_id,pub_key,private_key,proxy,models,ram,cpu,vram,gpu,os\n"


async def test_of_a_roster_the_row_is_looked_at_that_nobody_holds(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(f"{HEAD}n1,{SECRET},a1,0xabc,,,,,,,,\nn2,another,a1,0xabc,,,,,,,,\n")
    secrets = {NodeId("n1"): Secret(SECRET), NodeId("n2"): Secret("quite another")}
    async with gateway(node_secrets=secrets) as url:
        assert await examined(url, claim=True, NODE_ID="") == {}
        loaded = load(
            config_file=None,
            profile=None,
            flags={},
            environ={"API_GATEWAY_URL": url, "LLM_NODE_STATE_DIR": str(tmp_path / "state")},
            cwd=tmp_path,
        )
        plan, _ = read_production(loaded, tmp_path, HARDWARE, claim=True)
        held = claim_identity(plan)
        try:
            assert held.spec.node_id == "n1"
            found = await examined(url, claim=True, NODE_ID="")
        finally:
            held.release()
    assert "node n2" in found["secret"].detail


@asynccontextmanager
async def answering_all_with(head: str, body: str = "") -> AsyncIterator[str]:
    """An address where every request gets the same answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"{head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_gateway_that_redirects(examined: Examine) -> None:
    head = "HTTP/1.1 302 Found\r\nlocation: https://user:hunter2@gateway.example/x?y=z"
    async with answering_all_with(head) as url:
        found = await examined(url)
    for name in ("gateway", "secret", "auth"):
        assert f"write the address that it redirects to, which this shows: curl -sI {url}/" in found[name].remedy
    assert "hunter2" not in str(found)


async def test_a_web_page_is_no_gateway(examined: Examine) -> None:
    async with answering_all_with("HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8", "<html>") as url:
        found = await examined(url)
    assert is_failed(found["secret"], "check the address")
    assert is_failed(found["auth"], "check the address")


async def test_where_it_tells_of_itself_is_looked_at(examined: Examine) -> None:
    async with gateway() as url:
        there = {"KAFKA_BROKERS": f"127.0.0.1:{free_port()},{url.removeprefix('http://')}", "ERROR_WEBHOOK_URL": url}
        assert await examined(url, OTEL_EXPORTER_OTLP_ENDPOINT=url, **there) == {}
        nobody = f"127.0.0.1:{free_port()}"
        found = await examined(
            url,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{nobody}",
            KAFKA_BROKERS=nobody,
            ERROR_WEBHOOK_URL=f"http://{nobody}/T0/hunter2",
        )
    assert {name: finding.status for name, finding in found.items()} == dict.fromkeys(
        ("traces", "kafka", "webhook"), "warn"
    )
    assert "refused" in found["kafka"].detail
    assert "hunter2" not in str(found)


async def test_a_job_time_that_the_lease_does_not_leave(examined: Examine) -> None:
    async with gateway() as url:
        found = await examined(url, WORKER_TIMEOUT="900000")
    assert set(found) == {"config"}
    assert found["config"].status == "warn"
    assert "jobs get 239 s" in found["config"].detail


async def test_an_engine_that_generates_nothing(examined: Examine, engine: OllamaServer) -> None:
    async def nothing(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.final("", reason=None)
        await exchange.end()

    engine.default = nothing
    async with gateway() as url:
        found = await examined(url)
    assert is_failed(found["engine"], "the engine's own log")
    assert "generated nothing" in found["engine"].detail


async def test_an_extra_that_is_not_installed(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "find_spec", lambda _: None)
    async with gateway() as url:
        found = await examined(url, KAFKA_BROKERS="a..b", ERROR_WEBHOOK_URL="http://a..b/hunter2")
    assert is_failed(found["kafka"], "install it, or leave KAFKA_BROKERS empty")
    assert "kafka is not installed" in found["kafka"].detail
    assert found["webhook"].status == "warn"
    assert "hunter2" not in str(found)
