"""What a node tells of itself to the systems of others: traces, events, metrics; and how it is tried without any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.app.control import find_handle
from node.app.production_plan import plan_production
from node.app.trial import trial_gateway
from node.machine.gpu import Gpu
from node.settings.load import load
from tests.integration.observability.test_event_stream import TOPIC, brokers, read_back
from tests.integration.observability.test_otlp import Collector, attributes
from tests.integration.production.world import MACHINE, ollama, world

__all__ = ["brokers"]


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
    assert "A private question" not in str(collector.resources)


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
        url = find_handle(node.state_dir).url
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


async def test_a_trial_s_gateway_asks_for_what_the_engine_has(tmp_path: Path) -> None:
    async with ollama("mine:1b", "not-mine:1b") as engine:
        environ = {"OLLAMA_BASE_URL": engine.url, "ALLOWED_MODELS": "mine*"}
        loaded = load(config_file=None, profile=None, flags={}, environ=environ, cwd=tmp_path)
        plan = plan_production(loaded, tmp_path, MACHINE, dry_run=True)
        async with trial_gateway(plan) as url, httpx.AsyncClient(trust_env=False) as client:
            waiting = 0
            async with asyncio.timeout(15):
                while not waiting:
                    waiting = (await client.get(f"{url}/network_stats")).json()["pending_jobs"]
                    await asyncio.sleep(0.05)
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(f"{url}/network_stats")
    assert engine.requests == []
