"""A machine with a node in production on it: everything that it is told in secret, and everything that it tells."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from node.app.control import CONTROL_FILE
from node.cli.exit_codes import ExitCode
from node.sandbox.policy import Prompt
from tests.acceptance.program import MAIN, ROOT, environment
from tests.secrets.echoing import Served, echoing_gateway
from tests.secrets.neighbours import EchoingEngine, Kafka, Neighbours, neighbours, systemd
from tests.secrets.scanner import Finding, Scanner, files_below
from tests.secrets.workplace import QUICK, Planted, Workplace
from tests.support.waiting import wait_until_sync

NODE: Final = "box"
TOPIC: Final = "told"
FOLDER: Final = f"state/nodes/{NODE}"
SECRET_FILE: Final = "node.secret"

SETTINGS: Final = {
    **QUICK,
    "LLM_NODE_LOGGING__PROMPTS": "false",
    "LLM_NODE_RETRY__ATTEMPTS": "2",
    "LLM_NODE_OUTBOX__BACK_OFF_BASE_S": "0.05",
    "LLM_NODE_OUTBOX__BACK_OFF_CAP_S": "0.3",
    "LLM_NODE_OLLAMA__RECHECK_S": "0.2",
    "LLM_NODE_OPENAI__RECHECK_S": "0.2",
    "LLM_NODE_MODELS__REFRESH_S": "1",
    "LLM_NODE_GATES__SAMPLE_S": "0.5",
    "LLM_NODE_GATES__FAILURE_STREAK": "0",
    "LLM_NODE_STOP__DRAIN_S": "3",
    "ENABLE_DEBUG_MODE": "true",
    "PERFORMANCE_SAMPLE_RATE": "1",
    "WORKER_ID": "worker-7",
    "WORKER_CONCURRENCY": "4",
    "CIRCUIT_BREAKER_THRESHOLD": "3",
    "CIRCUIT_BREAKER_TIMEOUT": "300",
    "OLLAMA_MAX_RETRIES": "0",
    "NODE_ID": NODE,
    "ACCOUNT_ID": "account-1",
    "NODE_PUB_KEY": "public",
    "HEALTH_PORT": "0",
}

PATHS: Final = ("health", "health/live", "health/ready", "metrics", "status.json")

_RECORDS: Final = ("results.sqlite", "results.sqlite-wal", "results.sqlite-shm")


@dataclass
class BoxPlanted(Planted):
    """What is planted on the box besides; ``opening`` is the token of the node's port, which the node makes."""

    engine_key: str = 'sk-c4nary/engine+key=q"zz%xw'
    hook_token: str = "T0c4nary-webhook-token-vvk"
    hook_query: str = "c4nary-webhook/query+wqx"
    otlp_header: str = "c4nary-otlp-header-kkz"
    otlp_query: str = "c4nary-otlp-query-zzv"
    proxy_password: str = "c4nary:proxy/pa ss@w%rd+kqx"
    prompt: str = "c4nary who shot the zebra at midnight, asked nobody"
    answer: str = "c4nary the gnu did it with a spanner, said everybody"
    opening: str = ""

    def named(self) -> dict[str, str]:
        names = ("engine_key", "hook_token", "hook_query", "otlp_header", "otlp_query", "prompt", "answer", "opening")
        more = {name: getattr(self, name) for name in names}
        return super().named() | {name: text for name, text in more.items() if text}

    @property
    def account(self) -> str:
        """The proxy's, as it stands in a URL."""
        return f"{self.proxy_user}:{quote(self.proxy_password, safe='')}"


class Box(Workplace):
    """The folder in which the node runs; it is told its secrets by a file, or by its environment where ``by_file`` is
    not set, and ``asks_for_prompts`` in its logs."""

    planted: BoxPlanted

    def __init__(self, folder: Path, gateway: Served, around: Neighbours) -> None:
        super().__init__(folder, BoxPlanted())
        self.gateway = gateway
        self.around = around
        self.asks_for_prompts = False
        folder.mkdir()
        (folder / SECRET_FILE).write_text(self.planted.node_secrets[0] + "\n")
        (folder / ".env").write_text(f"LLM_NODE_GATEWAY__JWT_KEY={self.planted.signing}\n")
        _write_tool(folder.parent / "bin" / "amd-smi", folder.parent / "amd-smi.environ")

    def settings(self, *, by_file: bool = True, **more: str) -> dict[str, str]:
        """Variables with all that the node is told."""
        planted, around = self.planted, self.around
        hook = f"{around.hook.url}/services/{planted.hook_token}?auth={quote(planted.hook_query, safe='')}"
        told = {
            "API_GATEWAY_URL": self.gateway.url,
            "LLM_NODE_PROXY__ECHO_URL": f"{self.gateway.url}/ip",
            "OPENAI_BASE_URL": f"{around.openai.url}/v1",
            "OPENAI_API_KEY": planted.engine_key,
            "OLLAMA_BASE_URL": around.ollama.url,
            "MODEL_PRELOAD_LIST": around.engine.local[0],
            "ERROR_WEBHOOK_URL": hook,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{around.collector.url}/v1/traces?key={planted.otlp_query}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={planted.otlp_header}",
            "KAFKA_BROKERS": around.brokers,
            "KAFKA_TOPIC": TOPIC,
            "PATH": f"{self.folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        way = f"http://{planted.account}@{around.way.url.removeprefix('http://')}"
        if by_file:
            told |= {"NODE_SECRET_FILE": SECRET_FILE, "NODE_PROXY": way}
        else:
            told |= {"NODE_SECRET": planted.node_secrets[0]}
            told |= {"HTTP_PROXY": way, "NO_PROXY": "", "LLM_NODE_GATEWAY__TRUST_ENV_PROXIES": "true"}
        return {**SETTINGS, **told, **more}

    @property
    def control(self) -> dict[str, Any]:
        """The file by which the node's port is found."""
        content: dict[str, Any] = json.loads((self.folder / FOLDER / CONTROL_FILE).read_text())
        return content

    def wait_for_port(self, said: Path) -> None:
        """Wait until the node can be asked and steered."""

        def is_open() -> bool:
            with suppress(OSError, ValueError):
                return bool(self.control["token"])
            return False

        wait_until_sync(is_open, 30, f"the port is open: {said.read_text()}")
        self.planted.opening = self.control["token"]

    def ask_port(self) -> None:
        """Keep what the port says, to those who may steer the node and to those who may not."""
        url, token = self.control["url"], self.control["token"]
        with httpx.Client(base_url=url, trust_env=False) as client:
            for path in PATHS:
                self._keep(f"port /{path}", client.get(f"/{path}"))
            for bearer in ("x", self.planted.node_secrets[1], token[:-1], f"{token}x"):
                told = client.post("/control/pause", headers={"authorization": f"Bearer {bearer}".encode()})
                assert told.status_code == 401
                self._keep("port denied", told)
            allowed = {"authorization": f"Bearer {token}"}
            for order in ("pause", "resume"):
                self._keep(f"port {order}", client.post(f"/control/{order}", headers=allowed))
            unknown = f"/{quote(self.planted.engine_key, safe='')}"
            self._keep("port unknown", client.get(unknown, headers=allowed))
        with socket.create_connection((httpx.URL(url).host, httpx.URL(url).port or 0)) as raw:
            raw.sendall(f"{self.planted.engine_key} and no request\r\n\r\n".encode())
            self._add("port malformed", raw.recv(65536))

    def ask_programs(self, environ: Mapping[str, str], *commands: str, script: Sequence[str] = (MAIN,)) -> None:
        """Keep what other commands say, all at the same time; each is a line of arguments. They must not be refused."""
        running = [(command, self._start(script, command, environ)) for command in commands]
        for command, process in running:
            said, told = process.communicate(timeout=60)
            assert process.returncode in {0, ExitCode.UNFIT}, f"{command}: {told!r}"
            self._add(f"{command} stdout", said)
            self._add(f"{command} stderr", told)

    def look_at_children(self, parent: int) -> None:
        """Keep the command lines and environments of a process's children."""
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                for what in ("cmdline", "environ"):
                    with suppress(OSError):
                        self._add(f"child {what}", Path(f"/proc/{child}/{what}").read_bytes())

    def look_at_files(self) -> None:
        """Keep the files as they are now, besides how they are left."""
        for place, data in files_below(self.folder / "state"):
            self._add(f"state/{place}", data)

    def close(self, kafka: Kafka) -> None:
        """Keep what others were told."""
        for name, data in self.around.received():
            self._add(name, data)
        self._add("kafka", kafka.messages())
        self._add("tool environ", (self.folder.parent / "amd-smi.environ").read_bytes())
        assert self.gateway.app is not None
        results = map(json.loads, self.gateway.app.results)
        failed = [result["result"] for result in results if result["status"] == "error"]
        self._add("results that failed", json.dumps(failed).encode())
        self.planted.tokens += self.gateway.tokens

    def findings(self) -> list[Finding]:
        """Every secret in anything that was written or told, but for where it belongs."""
        scanner = Scanner(self.planted.named())
        written = [*self.outputs.items(), *files_below(self.folder, (SECRET_FILE, ".env"))]
        return [found for found in scanner.scan(written) if found.secret not in self._belonging(found.place)]

    def _belonging(self, place: str) -> set[str]:
        name = place.rpartition("/")[2]
        if name in _RECORDS:
            # An answer is kept as the engine gave it.
            return {"feeder_key", "prompt", "answer", "engine_key"}
        if name.startswith("engine") and self.asks_for_prompts:
            return {"prompt", "answer"}
        return {"opening"} if name == CONTROL_FILE else set()

    def _keep(self, name: str, told: httpx.Response) -> None:
        self._add(name, str(told.headers.raw).encode() + told.content)

    def _add(self, name: str, data: bytes) -> None:
        self.outputs[name] = self.outputs.get(name, b"") + data

    def _start(self, script: Sequence[str], command: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *script, *command.split()],
            cwd=self.folder,
            env=environment(**{**environ, "PYTHONPATH": str(ROOT)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _write_tool(path: Path, environ: Path) -> None:
    """A vendor's tool that tells what it is told."""
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\n{{ env; echo "$0 $@"; }} >> {environ}\necho "[]"\n')
    path.chmod(0o755)


@contextmanager
def box(folder: Path, share: float = 0.2) -> Iterator[tuple[Box, Kafka]]:
    """A box among its neighbours."""
    planted = BoxPlanted()
    engine = EchoingEngine(planted.engine_key, planted.answer)
    prompts = [Prompt(model, planted.prompt) for model in (*engine.models, *engine.local)]
    with ExitStack() as stack:
        gateway = echoing_gateway(
            [planted.node_secrets[0]],
            signing=planted.signing,
            control=planted.control,
            api_key=planted.feeder_key,
            share=share,
            prompts=prompts,
            private=[planted.answer, planted.prompt],
        )
        served = stack.enter_context(gateway)
        around = stack.enter_context(neighbours(engine))
        kafka = Kafka(TOPIC)
        around.brokers = kafka.brokers
        stack.enter_context(systemd(folder / "notify", around.statuses))
        yield Box(folder / "place", served, around), kafka
