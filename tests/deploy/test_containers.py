"""The image and the compose files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from node import __version__
from node.domain.policies import StopPolicy
from node.settings.catalogue import catalogue
from node.settings.load import load
from tests.deploy.tools import DEPLOY, ROOT, run

PAGE = (ROOT / "docs/operations.md").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE_FILES = ["compose.yaml", "compose.dev.yaml"]
GIVEN = {"API_GATEWAY_URL": "https://gateway.example", "HOME": "/nonexistent"}


def compose(*names: str | Path, **environment: str) -> dict[str, Any]:
    """The files as Docker Compose understands them, one laid over the other, variables filled in."""
    files = [word for name in names for word in ("-f", DEPLOY / name)]
    said = run("docker-compose", *files, "config", "--format", "json", environment=environment or GIVEN)
    loaded: dict[str, Any] = json.loads(said)
    return loaded


def seconds(text: str) -> float:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def test_hadolint_is_content() -> None:
    run("hadolint", DEPLOY / "Dockerfile")


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_the_compose_files_keep_to_the_specification(name: str) -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / name)
    assert compose(name)["services"].keys() >= {"node", "ollama"}


def test_the_image_runs_as_nobody_special_and_is_stopped_by_a_drain() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", last, re.MULTILINE)
    assert "\nSTOPSIGNAL SIGTERM\n" in last
    assert "pip install" not in last


def test_the_image_is_labelled_with_the_version_that_is_in_it() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in DOCKERFILE


def test_all_that_the_image_copies_is_let_in_and_nothing_that_is_secret() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*"
    let_in = {pattern.removeprefix("!").rstrip("/") for pattern in patterns if pattern[0] == "!"}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        copied |= {source.partition("/")[0] for source in shlex.split(line)[:-1]}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in let_in)
    assert not let_in & {".env", "nodes.csv", "proxies.txt", "state", "config"}


class Live(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def live() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Live)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def check_health(port: int) -> int:
    command = re.search(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command
    _, *arguments = json.loads(command[1])
    # What the environment says of proxies must not lead the check astray.
    environment = {**os.environ, "HEALTH_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, timeout=20, check=False
    ).returncode


def test_the_health_check_tells_life_from_death(live: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = live.server_address[1]
    assert check_health(port) == 0
    monkeypatch.setattr(Live, "status", 500)
    assert check_health(port) == 1
    assert check_health(1) == 1


def test_replicas_need_nothing_of_their_own() -> None:
    node = compose("compose.yaml")["services"]["node"]
    assert not {"container_name", "hostname", "ports"} & node.keys()
    assert node["command"] == ["node", "--claim"]
    assert node["environment"]["LLM_NODE_FLEET__ROSTER"] == node["secrets"][0].get("target", "/run/secrets/nodes.csv")
    assert "WORKER_ID" not in node["environment"]


def test_what_is_not_to_be_written_cannot_be() -> None:
    services = compose("compose.yaml")["services"]
    for name in ("node", "ollama"):
        service = services[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["logging"]["driver"] == "json-file"
        assert service["restart"] == "unless-stopped"
        assert service["deploy"]["resources"].keys() == {"limits", "reservations"}
    assert services["models"]["read_only"]
    assert services["models"]["cap_drop"] == ["ALL"]
    mounts = {mount["target"]: mount for name in ("node", "ollama") for mount in services[name]["volumes"]}
    written = {target: mount for target, mount in mounts.items() if not mount.get("read_only")}
    assert {target: mount["source"] for target, mount in written.items()} == {
        "/var/lib/llm-node": "state",
        "/var/log/llm-node": "logs",
    }
    assert {mount["type"] for mount in written.values()} == {"volume"}


def test_state_and_logs_have_a_place_each_in_the_image() -> None:
    assert re.search(r'^VOLUME \["/var/lib/llm-node", "/var/log/llm-node"\]$', DOCKERFILE, re.MULTILINE)
    assert "LLM_NODE_STATE_DIR=/var/lib/llm-node " in DOCKERFILE
    assert "LLM_NODE_LOGGING__FOLDER=/var/log/llm-node " in DOCKERFILE


def test_one_file_tells_compose_and_the_nodes_what_is_set(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, deploy)
    text = (DEPLOY / "example.env").read_text().replace("LOG_LEVEL=info", "LOG_LEVEL=debug")
    (deploy / ".env").write_text(f"{text}BREAKER=x\nLLM_NODE_GATES__IDLE_ONLY=true\n")
    environment = compose(deploy / "compose.yaml", HOME="/nonexistent")["services"]["node"]["environment"]
    assert environment["API_GATEWAY_URL"] == "https://gateway.example"
    assert environment["LOG_LEVEL"] == "debug"
    assert environment["LLM_NODE_GATES__IDLE_ONLY"] == "true"
    loaded = load(config_file=None, profile=None, flags={}, environ=environment, cwd=tmp_path)
    assert loaded.settings.gates.idle_only


OVERRIDES = re.findall(r"```yaml\n(# deploy/compose\.\w+\.yaml\n.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", OVERRIDES, ids=lambda text: text.partition("\n")[0][2:])
def test_what_the_page_lays_over_for_other_machines_can_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text(text)
    services = compose("compose.yaml", tmp_path / "over.yaml")["services"]
    for name in ("node", "ollama"):
        assert "devices" not in services[name]["deploy"]["resources"]["reservations"]


def test_the_page_tells_of_other_machines() -> None:
    assert len(OVERRIDES) == 2


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_node_has_time_to_drain(name: str) -> None:
    node = compose(name)["services"]["node"]
    drain_s = float(node["environment"]["LLM_NODE_STOP__DRAIN_S"])
    assert seconds(node["stop_grace_period"]) >= drain_s + StopPolicy().abort_s + 5


def test_jobs_are_not_cut_short_in_production() -> None:
    node = compose("compose.yaml")["services"]["node"]
    drain_s = float(node["environment"]["LLM_NODE_STOP__DRAIN_S"])
    assert drain_s - 15 >= float(str(catalogue()["node.job_deadline_s"].default))


def test_development_has_the_source_the_port_and_a_gentle_breaker() -> None:
    node = compose("compose.dev.yaml")["services"]["node"]
    environment = node["environment"]
    assert [(port["host_ip"], port["published"], port["target"]) for port in node["ports"]] == [
        ("127.0.0.1", "3008", 3008)
    ]
    source = next(mount for mount in node["volumes"] if mount["target"] == f"{environment['PYTHONPATH']}/node")
    assert source["source"] == str(ROOT / "node")
    assert {(rule["action"], rule["path"]) for rule in node["develop"]["watch"]} >= {("restart", str(ROOT / "node"))}
    assert int(environment["CIRCUIT_BREAKER_THRESHOLD"]) > int(str(catalogue()["breaker.failures"].default))
    assert float(environment["CIRCUIT_BREAKER_TIMEOUT"]) / 1000 < float(str(catalogue()["breaker.open_s"].default))
    assert (environment["LOG_LEVEL"], environment["ENABLE_DEBUG_MODE"]) == ("debug", "true")


def test_every_file_of_yaml_is_well_formed() -> None:
    for path in sorted(DEPLOY.rglob("*.yaml")):
        assert list(yaml.safe_load_all(path.read_text())), path
    run(
        "yamllint",
        "--strict",
        "-d",
        "{extends: default, rules: {document-start: disable, line-length: {max: 130}, braces: {max-spaces-inside: 1},"
        " comments: {min-spaces-from-content: 1}}}",
        DEPLOY,
    )
