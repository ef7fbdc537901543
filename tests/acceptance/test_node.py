"""``node`` from outside: a real engine, a gateway that runs by itself, and what an operator or systemd does to both."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.program import Running, run, running, url_in
from tests.support.llama_server import ALIAS, LlamaServer, needs_llama, write_tiny_model
from tests.support.waiting import wait_until_sync

pytestmark = [needs_llama, pytest.mark.timeout(90), pytest.mark.xdist_group("node")]  # one world for all

SECRET = "node-secret-hunter2-never-shown"
ENGINE_KEY = "sk-engine-hunter2-never-shown"
LONG = 12_000
"""Tokens that the engine takes the better part of a minute over."""

QUICK = {
    "HEALTH_PORT": "0",
    "LLM_NODE_NODE__POLL_CYCLE_S": "0.2",
    "LLM_NODE_NODE__BACK_OFF_CAP_S": "0.5",
    "LLM_NODE_OPENAI__RECHECK_S": "0.3",
    "LLM_NODE_GATES__SAMPLE_S": "0.5",
    "LLM_NODE_NODE__DEFAULT_MAX_OUTPUT": str(LONG),
}
HEAD = "node_id,secret,account_id,pub_key,private_key,proxy,models,ram,cpu,vram,gpu,os"


def identity(name: str) -> dict[str, str]:
    return {"NODE_ID": name, "NODE_SECRET": SECRET, "ACCOUNT_ID": "account-1", "NODE_PUB_KEY": "0xabc"}


def roster(folder: Path, *names: str) -> None:
    rows = [f"{name},{SECRET},account-1,0xabc,,,none,1,1,0,none,linux" for name in names]
    (folder / "nodes.csv").write_text("\n".join([HEAD, *rows]) + "\n")


@dataclass
class Developer:
    """Submits to a gateway many prompts at once, for the real engine's model."""

    url: str
    key: str = "developer-key"

    def submit(self, prompt: str, max_output: int) -> str:
        body = {"model": ALIAS, "messages": [{"role": "user", "content": prompt}], "max_output": max_output}
        reply = httpx.post(f"{self.url}/submit_job", json=body, headers={"api_key": self.key}, trust_env=False)
        job: str = reply.raise_for_status().json()["job_id"]
        return job

    def result(self, job: str) -> dict[str, Any] | None:
        reply = httpx.get(f"{self.url}/get_result/{job}", headers={"api_key": self.key}, trust_env=False)
        return None if reply.status_code == 404 else reply.raise_for_status().json()

    def results(self, *jobs: str, timeout_s: float = 30) -> list[dict[str, Any]]:
        wait_until_sync(lambda: all(map(self.result, jobs)), timeout_s, "every job is answered")
        return [answer for answer in map(self.result, jobs) if answer is not None]


@dataclass
class Node:
    """A node that runs, as its port shows it."""

    program: Running
    state: Path
    name: str

    @property
    def control_file(self) -> Path:
        return self.state / "nodes" / self.name / "control.json"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(json.loads(self.control_file.read_text())["url"] + path, trust_env=False)

    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = self.get("/status.json").json()
        return content

    def order(self, order: str) -> dict[str, Any]:
        handle = json.loads(self.control_file.read_text())
        headers = {"authorization": f"Bearer {handle['token']}"}
        reply = httpx.post(f"{handle['url']}/control/{order}", headers=headers, trust_env=False)
        content: dict[str, Any] = reply.raise_for_status().json()
        return content

    def ready(self) -> int:
        """The status of the readiness probe; 0 while nothing answers it."""
        try:
            return self.get("/health/ready").status_code
        except (OSError, ValueError, httpx.TransportError):
            return 0

    def becomes(self, status: int, timeout_s: float = 20) -> None:
        wait_until_sync(
            lambda: self.ready() == status or self.program.process.poll() is not None, timeout_s, f"readiness {status}"
        )
        assert self.ready() == status, self.program.output


@dataclass
class World:
    """A gateway that runs by itself, and an engine."""

    gateway: str
    engine: LlamaServer
    folder: Path

    @property
    def developer(self) -> Developer:
        return Developer(self.gateway)

    def settings(self, **more: str) -> dict[str, str]:
        place = {"OPENAI_BASE_URL": self.engine.base_url, "OPENAI_API_KEY": ENGINE_KEY, "WORKER_ID": "gpu-box-7"}
        return {**QUICK, **place, "API_GATEWAY_URL": self.gateway, **more}

    @contextmanager
    def node(self, folder: Path, name: str, *arguments: str, **env: str) -> Iterator[Node]:
        folder.mkdir(exist_ok=True)
        settings = self.settings(**identity(name), **env)
        log = folder / f"{name}.out"
        with running("node", "--state-dir", str(folder / "state"), *arguments, log=log, cwd=folder, **settings) as it:
            yield Node(it, folder / "state", name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    model = folder / "tiny.gguf"
    write_tiny_model(model)
    engine = LlamaServer(model, api_key=ENGINE_KEY)
    arguments = ("gateway", "--feed", "0", "--state-dir", str(folder / "gateway"))
    try:
        with running(*arguments, log=folder / "gateway.out", cwd=folder) as gateway:
            engine.start()
            gateway.says("listens at")
            yield World(url_in(gateway.output), engine, folder)
    finally:
        engine.kill()


@pytest.fixture(scope="module")
def steady(world: World) -> Iterator[Node]:
    """A node that no test stops."""
    with world.node(world.folder / "steady", "steady") as node:
        node.becomes(200)
        yield node


@pytest.fixture
def alone(steady: Node) -> Iterator[None]:
    """Lets a test's own node have all jobs."""
    assert "paused" in steady.order("pause")["holds"]
    yield
    steady.order("resume")
    steady.becomes(200)


def test_a_submitted_job_names_the_model_that_ran_and_what_it_took(world: World, steady: Node) -> None:
    arguments = ("--model", ALIAS, "--max-output", "12", "--json", "--gateway", world.gateway)
    done = run("submit", "Say something", *arguments, cwd=world.folder)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "success"
    assert answer["model_name"] == ALIAS
    assert answer["result"]["message"]["content"]
    usage = answer["result"]["usage"]
    assert usage["finish_reason"] == "length"
    assert usage["first_token_ms"] > 0


def test_the_port_tells_of_the_node_and_of_its_work(world: World, steady: Node) -> None:
    (answer,) = world.developer.results(world.developer.submit("Go on", 5))
    assert answer["status"] == "success"
    assert steady.get("/health/live").status_code == 200
    health = steady.get("/health").json()
    assert health["ready"]
    assert {check["name"] for check in health["checks"]} >= {"registered", "polled", "engine", "disk", "draining"}
    wait_until_sync(lambda: steady.status()["jobs"]["accepted"] >= 1, 5, "the result is accepted")
    status = steady.status()
    assert (status["node"], status["worker"], status["life"]) == ("steady", "gpu-box-7", "running")
    assert status["models"] == [ALIAS]
    assert status["slots"]["total"] == 5
    assert status["jobs"]["failed"] == 0
    assert status["engines"] == [{"name": "openai", "available": True, "reason": "", "breakers": {}}]
    families = {family.name: family for family in text_string_to_metric_families(steady.get("/metrics").text)}
    requests = [sample for sample in families["llm_node_engine_requests"].samples if sample.name.endswith("_total")]
    assert sum(sample.value for sample in requests if sample.labels["outcome"] == "success") >= 1
    assert {sample.labels["model"] for sample in requests} == {ALIAS}


def test_answers_come_from_the_engine_whatever_executors_the_simulation_has(world: World, alone: None) -> None:
    (world.folder / "stored.csv").write_text(f'prompt,{ALIAS}_response_1\nWho are you?,"the stored answer"\n')
    folder = world.folder / "tempted"
    tempting = ("--set", "executors.order=stored,synthetic", "--set", f"stored.files={world.folder / 'stored.csv'}")
    with world.node(folder, "tempted", *tempting) as node:
        node.becomes(200)
        results = world.developer.results(*(world.developer.submit("Who are you?", 6) for _ in range(6)))
    for answer in results:
        assert (answer["status"], answer["model_name"]) == ("success", ALIAS)
        assert "stored" not in answer["result"]["message"]["content"]
        assert answer["result"]["usage"]["finish_reason"] == "length"


def test_what_is_no_engine_cannot_be_listed_as_one(world: World) -> None:
    listed = "engines.list=one=stored:http://127.0.0.1:1,two=synthetic:http://127.0.0.1:1"
    done = run("node", "--set", listed, cwd=world.folder, **world.settings(**identity("nobody")))
    assert done.returncode == 3
    assert "engines.list" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_identity_is_told_with_every_variable(world: World) -> None:
    done = run("node", cwd=world.folder, **world.settings())
    assert done.returncode == 3
    assert all(name in done.stderr for name in ("NODE_ID", "NODE_SECRET", "ACCOUNT_ID", "NODE_PUB_KEY"))


def test_an_identity_has_one_process(world: World, steady: Node) -> None:
    done = run(*("node", "--state-dir", str(steady.state)), cwd=world.folder, **world.settings(**identity("steady")))
    assert done.returncode == 6
    assert "steady" in done.stderr
    assert "runs already" in done.stderr
    assert steady.ready() == 200


def test_a_port_that_is_taken_is_told(world: World, steady: Node, tmp_path: Path) -> None:
    port = steady.get("/health").url.port
    settings = world.settings(**identity("second"), HEALTH_PORT=str(port))
    done = run("node", "--state-dir", str(tmp_path / "state"), cwd=tmp_path, **settings)
    assert done.returncode == 3, done.stdout
    assert f"127.0.0.1:{port}" in done.stderr
    assert "the port is taken" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_processes_on_one_roster_claim_an_identity_each(world: World, tmp_path: Path) -> None:
    roster(tmp_path, "row-1", "row-2")
    settings = {**world.settings(), "NODE_ID": ""}
    arguments = ("node", "--claim", "--state-dir", str(tmp_path / "state"))
    with (
        running(*arguments, log=tmp_path / "one.out", cwd=tmp_path, **settings) as one,
        running(*arguments, log=tmp_path / "two.out", cwd=tmp_path, **settings) as two,
    ):
        nodes = [Node(one, tmp_path / "state", name) for name in ("row-1", "row-2")]
        for node in nodes:
            wait_until_sync(node.control_file.exists, 20, f"{node.name} runs: {one.output} {two.output}")
            node.becomes(200)
        pids = {json.loads(node.control_file.read_text())["pid"] for node in nodes}
        assert pids == {one.process.pid, two.process.pid}
        third = run(*arguments, cwd=tmp_path, **settings)
        assert third.returncode == 6
        assert "row-1, row-2" in third.stderr
    assert (one.process.returncode, two.process.returncode) == (0, 0)


def test_a_stop_under_load_turns_probes_away_and_finishes_the_work(world: World, alone: None, tmp_path: Path) -> None:
    with world.node(tmp_path / "n", "stopped", "--slots", "2", "--set", "stop.drain_s=30") as node:
        node.becomes(200)
        jobs = [world.developer.submit(f"Tell me more of {number}", 500) for number in range(2)]
        wait_until_sync(lambda: node.status()["slots"]["used"] == 2, 10, "both slots are busy")
        node.program.signal(signal.SIGTERM)
        told_at = time.monotonic()
        node.becomes(503, timeout_s=3)
        document = node.get("/health/ready").json()
        assert [check["name"] for check in document["checks"] if not check["ok"] and check["name"] == "draining"]
        assert node.status()["slots"]["used"] >= 1
        assert node.program.wait(30) == 0, node.program.output
        assert time.monotonic() - told_at < 30
        results = world.developer.results(*jobs, timeout_s=5)
    assert [(answer["status"], answer["model_name"]) for answer in results] == [("success", ALIAS)] * 2
    assert "2 jobs received, 2 done, 0 failed, 2 results accepted, 0 unsent" in " ".join(node.program.output.split())
    assert not node.control_file.exists()


def test_a_second_signal_ends_it_at_once_and_the_next_run_tells_the_gateway(
    world: World, alone: None, tmp_path: Path
) -> None:
    with world.node(tmp_path / "n", "hurried") as node:
        node.becomes(200)
        job = world.developer.submit("Go on for ever", LONG)
        wait_until_sync(lambda: node.status()["slots"]["used"] == 1, 10, "the job runs")
        node.program.signal(signal.SIGTERM)
        node.becomes(503, timeout_s=3)
        node.program.signal(signal.SIGTERM)
        assert node.program.wait(10) == 7, node.program.output
        assert "Stopping at once" in node.program.output
    with world.node(tmp_path / "n", "hurried"):
        (answer,) = world.developer.results(job)
    assert answer["status"] == "error"


def test_an_engine_that_dies_in_the_middle_of_jobs_and_comes_back(world: World, alone: None, tmp_path: Path) -> None:
    breaker = {"CIRCUIT_BREAKER_THRESHOLD": "1", "CIRCUIT_BREAKER_TIMEOUT": "1500", "OLLAMA_MAX_RETRIES": "0"}
    with world.node(tmp_path / "n", "bereft", "--slots", "2", **breaker) as node:
        node.becomes(200)
        jobs = [world.developer.submit(f"Go on for ever, {number}", LONG) for number in range(2)]
        wait_until_sync(lambda: node.status()["slots"]["used"] == 2, 10, "both jobs run")
        world.engine.kill()
        try:
            node.becomes(503, timeout_s=10)
            wait_until_sync(lambda: node.status()["engines"][0]["breakers"] == {ALIAS: "open"}, 5, "the breaker opens")
            for answer in world.developer.results(*jobs, timeout_s=15):
                assert answer["status"] == "error"
                assert answer["result"]["error"]
            assert "llm_node_breaker" in node.get("/metrics").text
        finally:
            world.engine.start()
        node.becomes(200, timeout_s=20)
        for _ in range(2):  # the first closes the circuit
            (answer,) = world.developer.results(world.developer.submit("Once more", 5))
            assert answer["status"] == "success", answer
        assert node.status()["engines"][0] == {"name": "openai", "available": True, "reason": "", "breakers": {}}
        assert node.status()["jobs"]["accepted"] >= 3
    assert node.program.process.returncode == 0


def test_no_secret_gets_out(world: World, alone: None, tmp_path: Path) -> None:
    debug = ("--log-level", "debug", "--json-logs")
    with world.node(tmp_path / "n", "discreet", *debug, ENABLE_DEBUG_MODE="true") as node:
        node.becomes(200)
        world.developer.results(world.developer.submit("Hello", 4))
        token = json.loads(node.control_file.read_text())["token"]
        assert node.control_file.stat().st_mode & 0o077 == 0
        said = node.get("/status.json").text + node.get("/metrics").text + node.get("/health").text
        control = node.control_file.read_text().replace(token, "")
        node.program.signal(signal.SIGTERM)
        assert node.program.wait(30) == 0
    kept = b"".join(path.read_bytes() for path in (tmp_path / "n").rglob("*") if path.is_file())
    for text in (said, control, node.program.output, kept.decode(errors="replace")):
        assert text
        for secret in (SECRET, ENGINE_KEY, token):
            assert secret not in text
    assert re.search(r"poll", kept.decode(errors="replace")), "the logs tell nothing, so that nothing is proved"


def test_systemd_hears_of_it(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = tmp_path / "notify"
        systemd.bind(str(path))
        systemd.settimeout(0)
        heard: list[str] = []

        def hears(text: str) -> bool:
            try:
                while True:
                    heard.extend(systemd.recv(4096).decode().splitlines())
            except BlockingIOError:
                return text in heard

        notify = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        with world.node(tmp_path / "n", "unit", **notify) as node:
            for line in ("READY=1", "WATCHDOG=1", "STATUS=the node is running"):
                wait_until_sync(lambda line=line: hears(line), 20, line)
            assert "STOPPING=1" not in heard
            node.program.signal(signal.SIGTERM)
            wait_until_sync(lambda: hears("STOPPING=1"), 5, "STOPPING=1")
            assert node.program.wait(20) == 0
            hears("")
    assert heard.index("READY=1") < heard.index("STATUS=the node is running") < heard.index("STOPPING=1")
    assert heard.index("STOPPING=1") < heard.index("STATUS=the node is stopped")
