"""What an operator wrote wrongly is told without the secrets in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from node.cli.main import main
from tests.secrets.box import BoxPlanted
from tests.secrets.scanner import Scanner

PLANTED = BoxPlanted()
SCANNER = Scanner(PLANTED.named())
LOGIN = f"http://user:1234/{PLANTED.engine_key}@127.0.0.1:1"
"""As whoever does not know that a slash has to be encoded in a password writes it: what is before is a port."""

WRONG = {
    **dict.fromkeys(("API_GATEWAY_URL", "OLLAMA_BASE_URL", "OLLAMA_API_URL", "OPENAI_BASE_URL"), LOGIN),
    "NODE_ID": "box",
    "NODE_SECRET": PLANTED.node_secrets[0],
    "NODE_PROXY": f"http://{PLANTED.account}/more@127.0.0.1:x",
    "KAFKA_BROKERS": f"SASL://user:{PLANTED.hook_query}@127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://x:4317?key={PLANTED.otlp_query}",
    "LLM_NODE_GATEWAY__JWT_KEY": f"-----BEGIN PUBLIC KEY-----\n{PLANTED.signing}",
    "WORKER_CONCURRENCY": "many",
}
RIGHT = {
    "API_GATEWAY_URL": "http://127.0.0.1:1",
    "NODE_SECRET": PLANTED.node_secrets[0],
    "NODE_PROXY": f"{PLANTED.account}@127.0.0.1:1",
    "OPENAI_API_KEY": PLANTED.engine_key,
    "ERROR_WEBHOOK_URL": f"http://127.0.0.1:1/{PLANTED.hook_token}?a={PLANTED.hook_query}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:1?key={PLANTED.otlp_query}",
    "LLM_NODE_GATEWAY__JWT_KEY": PLANTED.signing,
}
COMMANDS = (
    *(("node",), ("node", "--dry-run"), ("doctor",), ("doctor", "--json"), ("status",), ("pause",)),
    *(("config", "show"), ("config", "show", "--json", "--changed"), ("config", "check"), ("outbox", "list")),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LLM_NODE_", "API_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(
    command: tuple[str, ...],
    environ: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code = main(command)
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert SCANNER.secrets_in(said.encode()) == set()
    return code, said


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_wrong_settings(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = told(command, WRONG, monkeypatch, capfd)
    assert code == (ExitCode.UNFIT if command[0] == "doctor" else ExitCode.INVALID_INPUT)
    assert said.count("environment ") >= 6
    assert "no user or password" in said
    assert "***@127.0.0.1:1" in said


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("value", [f"identity.secret:{PLANTED.engine_key}", f"{PLANTED.engine_key}", LOGIN])
def test_a_slip_in_an_option(value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = told(("node", "--set", value), RIGHT, monkeypatch, capfd)
    assert code in {2, ExitCode.INVALID_INPUT}
    assert "command line" in said or "section.key=value" in said


@pytest.mark.usefixtures("place")
def test_right_settings_are_shown_without_their_secrets(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = told(("config", "show", "--json", "--changed"), RIGHT, monkeypatch, capfd)
    assert code == 0
    shown = {row["name"]: row["value"] for row in json.loads(said)}
    masked = {name for name, value in shown.items() if value == '"***"'}
    assert masked == {"gateway.jwt_key", "identity.secret", "identity.proxy", "openai.api_key", "events.webhook"}
    assert shown["tracing.url"] == '"http://127.0.0.1:1?key=***"'


def test_a_roster_and_a_file_that_cannot_be_used(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "node.secret").write_bytes(b"\xff\xfe" + PLANTED.node_secrets[0].encode("utf-16-le"))
    rest = {"NODE_SECRET": "", "NODE_SECRET_FILE": "node.secret", "NODE_PROXY": f"ftp://{PLANTED.account}@127.0.0.1:1"}
    code, said = told(("node",), {**RIGHT, **rest}, monkeypatch, capfd)
    assert code == ExitCode.INVALID_INPUT
    assert "UTF-16" in said
    (place / "nodes.csv").write_text(f"{PLANTED.node_secrets[0]},{PLANTED.private_keys[0]}\n{PLANTED.account},x\n")
    code, said = told(("node", "--claim"), {**RIGHT, "NODE_SECRET_FILE": ""}, monkeypatch, capfd)
    assert code == ExitCode.INVALID_INPUT
    assert "nodes.csv" in said
