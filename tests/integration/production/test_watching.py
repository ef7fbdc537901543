"""What a node tells of itself to the systems of others: traces, events, metrics; and how it is tried without any."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.app import hold_watch, outlets
from node.app.engines import FIRST_LOOK_S
from node.app.production_plan import plan_production
from node.app.trial import trial_gateway
from node.machine.gpu import Gpu
from node.observability.event_stream import KafkaStream
from node.observability.otlp import OtlpPolicy
from node.settings.load import load
from tests.integration.doctor.test_doctor import free_port
from tests.integration.observability.test_event_stream import TOPIC, brokers, read_back
from tests.integration.observability.test_otlp import Collector, attributes
from tests.integration.production.world import MACHINE, NodeRun, ollama, until, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import refusing

__all__ = ["brokers"]

OUTLETS = ("traces", "kafka", "webhook")


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


async def test_a_job_is_traced_from_its_claim_to_its_result(tmp_path: Path, collector: Collector) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "PERFORMANCE_SAMPLE_RATE": "1", "WORKER_ID": "box-7"}
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, **environ}) as node,
    ):
        assert (await around.answer("m:1b", "A private question")).status == "success"
        await node.ends()
    spans = collector.spans()
    resource = {pair.key: pair.value.string_value for pair in collector.resources[0].resource.attributes}
    assert resource["service.instance.id"] == "box-7"
    of_jobs = [span for span in spans.values() if "m:1b" in map(str, attributes(span).values())]
    assert of_jobs, sorted(spans)
    assert {"start", "register", "poll", "claim", "chat m:1b", "keep", "submit", "job"} <= set(spans)
    (sent,) = {request.headers["traceparent"] for request in engine.requests}
    assert sent == f"00-{spans['chat m:1b'].trace_id.hex()}-{spans['chat m:1b'].span_id.hex()}-01"
    assert "A private question" not in str(collector.resources)


async def test_a_sampled_job_is_profiled_without_a_collector_too(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node(
            {"OLLAMA_BASE_URL": engine.url, "PERFORMANCE_SAMPLE_RATE": "1"}, logging__json_lines="true"
        ) as node,
    ):
        for _ in range(3):
            assert (await around.answer("m:1b")).status == "success"
        traceparent = engine.requests[-1].headers["traceparent"]
        async with httpx.AsyncClient(trust_env=False) as client:
            metrics = (await client.get(f"{node.control.handle.url}/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    counts = {
        sample.labels["phase"]: sample.value
        for sample in families["llm_node_job_phase_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert set(counts) == {"poll", "wait", "load", "first_token", "generation", "keep", "submit"}
    assert min(counts.values()) >= 2, "the last one may not be accepted yet"
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("nodes.log"))
    lines = [json.loads(line) for line in logs.splitlines() if "job profiled" in line]
    assert len(lines) == 3
    assert all(line["engine_calls"] == 1 and line["model"] == "m:1b" for line in lines)
    assert {f"{phase}_ms" for phase in counts} <= lines[0].keys()
    assert lines[-1]["trace"] in traceparent
    assert "Hello" not in logs


async def test_where_no_job_is_sampled_none_is_profiled(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, "PERFORMANCE_SAMPLE_RATE": "0"}),
    ):
        assert (await around.answer("m:1b")).status == "success"
        assert "traceparent" not in engine.requests[-1].headers
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.log"))
    assert "job done" in logs
    assert "job profiled" not in logs


@contextlib.asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """An address where connections are taken and nothing is said."""
    streams: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: streams.append(writer), "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for stream in streams:
            stream.close()


async def test_listeners_that_are_silent_hold_up_neither_jobs_nor_the_end(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around, silence() as place:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{place}",
            "PERFORMANCE_SAMPLE_RATE": "1",
            "KAFKA_BROKERS": place,
            "ERROR_WEBHOOK_URL": f"http://{place}/hook",
        }
        engine.scripts.append(refusing(500, "it broke"))
        loop = asyncio.get_running_loop()
        async with around.node({"OLLAMA_BASE_URL": engine.url, **environ}) as node:
            started = loop.time()
            for _ in range(3):
                await around.answer("m:1b")
            assert loop.time() - started < 8
            async with httpx.AsyncClient(trust_env=False) as client:
                metrics = (await client.get(f"{node.control.handle.url}/metrics")).text
            assert all(f'llm_node_events_dropped_total{{outlet="{name}"}}' in metrics for name in OUTLETS)
            started = loop.time()
            outcome = await node.ends()
            assert loop.time() - started < 6
        assert outcome.unsent == 0
        assert outcome.view.jobs.accepted == 3


async def test_a_defect_on_the_way_out_is_told_and_ends_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: KafkaStream) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(KafkaStream, "_send_all", broken)
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, "KAFKA_BROKERS": "nobody.invalid:9092"}) as node,
    ):
        assert (await around.answer("m:1b")).status == "success"
        outcome = await node.ends()
    assert (outcome.view.jobs.accepted, outcome.view.crashes) == (1, 1)


async def test_events_of_a_run_land_in_kafka(tmp_path: Path, brokers: str) -> None:
    environ = {"KAFKA_BROKERS": brokers, "KAFKA_TOPIC": TOPIC, "WORKER_ID": "box-7"}
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, **environ}) as node,
    ):
        assert (await around.answer("m:1b", "A private question")).status == "success"
        await node.ends()
    told = [content for _, content in await asyncio.to_thread(read_back, brokers, 8)]
    assert len(told) >= 5
    assert "box-7" in str(told[0])
    assert "A private question" not in str(told)
    assert "hush-hush" not in str(told)


async def test_metrics_tell_of_the_machine_and_of_each_card(tmp_path: Path) -> None:
    card = Gpu("RTX 4090", vram_total_bytes=24_000, vram_used_bytes=6_000, utilisation_ratio=0.25)
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}, card, gates__idle_only="true") as node,
    ):
        assert (await around.answer("m:1b")).status == "success"
        url = node.control.handle.url
        async with httpx.AsyncClient(trust_env=False) as client:
            samples: dict[str, float] = {}

            async def read() -> None:
                text = (await client.get(f"{url}/metrics")).text
                families = text_string_to_metric_families(text)
                samples.update({sample.name: sample.value for family in families for sample in family.samples})

            async with asyncio.timeout(10):
                while not any(name.startswith("llm_node_gpu") for name in samples):
                    await read()
    cards = {name: value for name, value in samples.items() if name.startswith("llm_node_gpu")}
    assert {6_000.0, 24_000.0, 0.25} <= set(cards.values()), cards


async def test_prompts_are_logged_only_on_request(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}, logging__prompts="true"),
    ):
        await around.answer("m:1b", "A question for the log")
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.log"))
    assert "A question for the log" in logs
    assert "Well, m:1b" in logs


async def test_whoever_knocks_at_the_port_writes_no_log(tmp_path: Path) -> None:
    knocks = (b"\x16\x03\x01\r\n\r\n", b"GET /health HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}) as node,
    ):
        place = urlsplit(node.control.handle.url)
        for knock in knocks * 20:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(knock)
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
            writer.close()
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.log"))
    assert "node running" in logs
    assert "uvicorn" not in logs


async def test_a_trial_s_gateway_asks_for_what_the_engine_has(tmp_path: Path) -> None:
    async with ollama("mine:1b", "not-mine:1b") as engine:
        environ = {"OLLAMA_BASE_URL": engine.url, "ALLOWED_MODELS": "mine*"}
        loaded = load(config_file=None, profile=None, flags={}, environ=environ, cwd=tmp_path)
        plan = plan_production(loaded, tmp_path, MACHINE, dry_run=True)
        async with trial_gateway(plan, print) as url, httpx.AsyncClient(trust_env=False) as client:
            waiting = 0
            async with asyncio.timeout(15):
                while not waiting:
                    waiting = (await client.get(f"{url}/network_stats")).json()["pending_jobs"]
                    await asyncio.sleep(0.05)
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(f"{url}/network_stats")
    assert engine.requests == []


async def test_readiness_knows_engines_that_nothing_was_heard_of(tmp_path: Path) -> None:
    """Of two that were well from the start one dies: the other works on, and jobs are taken."""
    async with ollama("m:1b") as good, ollama("m:1b") as other, world(tmp_path) as around:
        engines = f"good=ollama:{good.url},other=ollama:{other.url}"
        async with around.node(engines__list=engines) as node:
            await until_ready(node)
            assert [engine["available"] for engine in (await node.status())["engines"]] == [True, True]
            await other.stop()
            await until_engines(node, [True, False])
            status, checks = await readiness(node)
            assert status == 200, checks
            assert checks["engine"].startswith("jobs go to good; ")
            assert (await around.answer("m:1b")).status == "success"


async def test_readiness_knows_an_engine_that_was_never_there(tmp_path: Path) -> None:
    async with ollama("m:1b") as good, world(tmp_path) as around:
        engines = f"good=ollama:{good.url},other=ollama:http://127.0.0.1:{free_port()}"
        async with around.node(engines__list=engines) as node:
            await until_engines(node, [True, False])
            await until_ready(node)


@pytest.mark.parametrize(("has", "why"), [(["m:1b"], "ALLOWED_MODELS leaves out"), ([], "has no models")])
async def test_a_node_that_offers_nothing_is_not_ready_and_warns(tmp_path: Path, has: list[str], why: str) -> None:
    async with ollama(*has) as engine, world(tmp_path) as around:
        environ = {"OLLAMA_BASE_URL": engine.url, "ALLOWED_MODELS": "nosuch" if has else ""}
        async with around.node(environ) as node:
            await until(lambda: _has(node, "running"), "it runs")
            status, checks = await readiness(node)
            assert status == 503
            assert why in checks["models"]
    lines = [line for line in (tmp_path / "state").rglob("general.log") for line in line.read_text().splitlines()]
    assert len([line for line in lines if "no model is on offer" in line and "level=warning" in line]) == 1


async def test_what_keeps_a_node_from_jobs_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_watch, "LASTS_S", 0.5)
    log = tmp_path / "state" / "nodes" / "n1" / "logs" / "general.log"
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url}, outbox__min_free_mb=1_000_000),
    ):
        await wait_until(lambda: log.exists() and "no jobs are claimed: disk" in log.read_text(), 10, "it is told")
    assert "level=warning" in log.read_text()


async def test_the_port_listens_before_silent_engines_have_had_their_time(tmp_path: Path) -> None:
    async with silence() as place, world(tmp_path) as around:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with around.node({"OLLAMA_BASE_URL": f"http://{place}", "WORKER_CONCURRENCY": "2"}) as node:
            assert loop.time() - started < FIRST_LOOK_S
            status, checks = await readiness(node)
            assert status == 503
            assert "has not told yet" in checks["models"]


async def test_a_collector_that_is_away_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets, "_LOOK_S", 0.1)
    monkeypatch.setattr(outlets, "OtlpPolicy", partial(OtlpPolicy, timeout_s=0.5))
    place = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "PERFORMANCE_SAMPLE_RATE": "1"}
    log = tmp_path / "state" / "nodes" / "n1" / "logs" / "general.log"
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        around.node({"OLLAMA_BASE_URL": engine.url, **place}),
    ):
        for _ in range(3):
            assert (await around.answer("m:1b")).status == "success"
        await wait_until(lambda: log.exists() and "does not take traces" in log.read_text(), 15, "it is told")
    text = log.read_text()
    (told,) = [line for line in text.splitlines() if "does not take traces" in line]
    assert "level=warning" in told
    assert "urllib3" not in text
    assert "opentelemetry" not in text


async def readiness(node: NodeRun) -> tuple[int, dict[str, str]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.get(f"{node.control.handle.url}/health/ready")
    return reply.status_code, {check["name"]: check["detail"] for check in reply.json()["checks"]}


async def until_ready(node: NodeRun) -> None:
    async def is_ready() -> bool:
        return (await readiness(node))[0] == 200

    await until(is_ready, "it is ready", 15)


async def until_engines(node: NodeRun, there: list[bool]) -> None:
    async def are_told() -> bool:
        return [engine["available"] for engine in (await node.status())["engines"]] == there

    await until(are_told, f"the engines are told to be {there}", 15)


async def _has(node: NodeRun, life: str) -> bool:
    return bool((await node.status())["life"] == life)
