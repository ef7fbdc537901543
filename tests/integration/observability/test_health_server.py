"""The health and control port, called over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_strictly
from prometheus_client.parser import text_string_to_metric_families

from node.domain.errors import InvalidInput
from node.domain.events import Crash
from node.domain.secret import Secret
from node.observability.bus import EventBus
from node.observability.health_server import HealthPolicy, HealthServer
from node.observability.live_metrics import GpuFigures, MachineCollector, MachineFigures, StatusCollector
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from tests.support.waiting import wait_until
from tests.unit.observability.controlled import BAD, ControlledNode
from tests.unit.observability.sample_events import EVENTS

TOKEN = "control-token-0123456789"
BEARER = {"authorization": f"Bearer {TOKEN}"}
MACHINE = MachineFigures(0.5, 10_000_000, 0.25, 10**12, (GpuFigures("A100", 0.9, 2**30, 2**36),) * 2, 0.001)


@contextlib.asynccontextmanager
async def serving(
    node: ControlledNode, metrics: Callable[[], bytes] = bytes, redact: Callable[[str], str] = str
) -> AsyncIterator[httpx.AsyncClient]:
    crashes: list[Crash] = []
    server = HealthServer(
        HealthPolicy(token=Secret(TOKEN)),
        node,
        node,
        metrics,
        lag_s=lambda: 0.0125,
        on_crash=crashes.append,
        redact=redact,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with server, httpx.AsyncClient(base_url=server.url, timeout=10, trust_env=False, verify=context) as client:
        yield client
    await server.stop()
    assert not crashes


async def test_a_node_that_can_work_is_live_ready_and_healthy() -> None:
    async with serving(ControlledNode()) as client:
        live = await client.get("/health/live")
        assert live.status_code == 200
        assert live.json()["live"] is True
        assert live.json()["loop_lag_s"] == 0.0125
        assert live.headers["cache-control"] == "no-store"
        ready = await client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["checks"][0] == {"name": "registered", "ok": True, "detail": "in session"}
        health = await client.get("/health")
        assert health.status_code == 200
        assert health.json()["slots"] == {"used": 2, "total": 4}


async def test_readiness_falls_with_one_check_and_names_it_while_liveness_stays() -> None:
    node = ControlledNode()
    async with serving(node) as client:
        node.conditions = BAD
        for path in ("/health/ready", "/health"):
            reply = await client.get(path)
            assert reply.status_code == 503
            assert reply.json()["ready"] is False
            assert reply.json()["checks"][1] == {"name": "engine", "ok": False, "detail": "no engine answers"}
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.head("/health/ready")).status_code == 503


async def test_the_whole_status_is_json() -> None:
    async with serving(ControlledNode()) as client:
        status = (await client.get("/status.json")).json()
    assert status["node"] == "node-1"
    assert status["worker"] == "box-7"
    assert status["life"] == "running"
    assert status["holds"] == ["paused", "no-slot"]
    assert status["last_poll_age_s"] == 1.235
    assert status["outbox"] == {"depth": 3, "oldest_age_s": 12.0}
    assert status["engines"][0]["breakers"] == {"m": "open"}
    assert [check["name"] for check in status["checks"]] == ["registered", "engine"]


async def test_the_token_steers_the_node() -> None:
    node = ControlledNode()
    async with serving(node) as client:
        paused = await client.post("/control/pause", headers=BEARER)
        assert (paused.status_code, "paused" in paused.json()["holds"]) == (200, True)
        resumed = await client.post("/control/resume", headers={"authorization": f"bearer {TOKEN}"})
        assert (resumed.status_code, "paused" in resumed.json()["holds"]) == (200, False)
        drained = await client.post("/control/drain", headers=BEARER)
        assert (drained.status_code, drained.json()["life"]) == (202, "draining")
    assert node.orders == ["pause", "resume", "drain"]


WRONG = (
    None,
    "",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    TOKEN,
    f"Basic {TOKEN}",
    f"Digest {TOKEN}",
    "Bearer \u00e9\u00e9",
)


async def test_without_the_token_nothing_is_steered() -> None:
    node = ControlledNode()
    async with serving(node) as client:
        for path in ("/control/pause", "/control/resume", "/control/drain"):
            for header in WRONG:
                headers = {} if header is None else {"authorization": header.encode("latin-1")}
                reply = await client.post(path, headers=headers)
                assert reply.status_code == 401, (path, header)
                assert reply.json() == {"detail": "the control token is missing or wrong"}
                assert reply.headers["www-authenticate"] == "Bearer"
            assert (await client.get(path, headers=BEARER)).status_code == 405
    assert node.orders == []


async def test_an_empty_token_lets_nobody_in() -> None:
    node = ControlledNode()
    async with HealthServer(HealthPolicy(), node, node, bytes, lag_s=lambda: 0.0125, on_crash=print) as server:
        for header in (b"Bearer ", b"Bearer", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST /control/drain HTTP/1.1\r\nhost: x\r\nauthorization: " + header + b"\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")
            writer.close()
    assert node.orders == []


async def test_other_paths_are_json_too_and_no_reply_tells_a_secret() -> None:
    node = ControlledNode()
    async with serving(node, redact=lambda text: text.replace("refused", "***")) as client:
        unknown = await client.get("/nothing")
        assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
        status = await client.get("/status.json")
        assert status.json()["engines"][1]["reason"] == "connection ***"
        for path in ("/health", "/health/live", "/health/ready", "/status.json", "/metrics"):
            assert TOKEN not in (await client.get(path, headers=BEARER)).text


async def test_a_defect_of_the_source_is_one_bad_reply(caplog: pytest.LogCaptureFixture) -> None:
    node = ControlledNode()
    async with serving(node, metrics=lambda: bytes(1 // len(node.orders))) as client:
        reply = await client.get("/metrics")
        assert (reply.status_code, reply.json()) == (500, {"detail": "Internal Server Error"})
        assert (await client.get("/health/live")).status_code == 200


async def test_those_who_ask_for_metrics_all_at_once_are_told_the_same() -> None:
    made: list[int] = []

    def metrics() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    async with serving(ControlledNode(), metrics=metrics) as client:
        replies = await asyncio.gather(*(client.get("/metrics") for _ in range(50)))
        assert len(made) < 25
        assert {reply.status_code for reply in replies} == {200}
        async with asyncio.timeout(5):
            while (await client.get("/metrics")).text == replies[-1].text:
                pass


async def test_a_taken_port_is_told_with_its_remedy() -> None:
    node = ControlledNode()
    one = HealthServer(HealthPolicy(), node, node, bytes, lag_s=lambda: 0.0125, on_crash=print)
    async with one:
        two = HealthServer(HealthPolicy(port=one.port), node, node, bytes, lag_s=lambda: 0.0125, on_crash=print)
        with pytest.raises(InvalidInput) as caught:
            await two.start()
        await two.stop()
    assert f"127.0.0.1:{one.port}" in str(caught.value)
    assert "the port is taken" in str(caught.value)
    assert "choose another" in str(caught.value)
    with pytest.raises(InvalidInput, match="an address of this machine"):
        await HealthServer(
            HealthPolicy(host="192.0.2.1"), node, node, bytes, lag_s=lambda: 0.0125, on_crash=print
        ).start()


async def test_the_end_does_not_wait_for_idle_connections_and_leaves_no_task() -> None:
    node = ControlledNode()
    server = HealthServer(HealthPolicy(), node, node, bytes, lag_s=lambda: 0.0125, on_crash=print)
    before = asyncio.all_tasks()
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await server.stop()
    await server.stop()
    writer.close()
    await wait_until(lambda: asyncio.all_tasks() == before)


async def test_a_stop_right_after_the_start_leaves_the_port_free() -> None:
    node = ControlledNode()
    server = HealthServer(HealthPolicy(), node, node, bytes, lag_s=float, on_crash=print)
    await server.stop()
    async with server:
        pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_the_metrics_are_what_prometheus_reads() -> None:
    metrics = Metrics(worker="box-7")
    bus = EventBus()
    bus.attach(MetricsSubscriber(metrics, 1))
    for event in EVENTS:
        bus.emit(event)
    node = ControlledNode()
    metrics.observe(StatusCollector(node))
    metrics.observe(MachineCollector(lambda: MACHINE))
    async with serving(node, metrics.exposition) as client:
        reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    assert families["llm_node_slots_used"].samples[0].value == 2
    assert families["llm_node_build_info"].samples[0].labels["worker"] == "box-7"
    strictly = list(parse_strictly(openmetrics.generate_latest(metrics.registry).decode()))
    assert len(strictly) > 40
    promtool = shutil.which("promtool")
    if promtool is not None:
        check = await asyncio.create_subprocess_exec(
            promtool, "check", "metrics", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await check.communicate(reply.content)
        assert check.returncode == 0, said
