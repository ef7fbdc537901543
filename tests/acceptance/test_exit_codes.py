"""How commands end in production: each exit code that docs/operations.md lists, from a real process.

That of a missing package is in `test_commands`, and so are those of `simulate`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.sandbox.policy import SandboxPolicy
from tests.acceptance.program import MAIN, ROOT, environment, told
from tests.integration.production.world import Ollama, World, ollama, until, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import answering, refusing

pytestmark = pytest.mark.timeout(60)

NAME = "n1"
QUICK = {
    "HEALTH_PORT": "0",
    "LLM_NODE_NODE__POLL_CYCLE_S": "0.2",
    "LLM_NODE_FLEET__RECOVERY_MIN_S": "0.1",
    "LLM_NODE_FLEET__RECOVERY_MAX_S": "0.2",
    "LLM_NODE_STOP__DRAIN_S": "4",
    "LLM_NODE_OLLAMA__RECHECK_S": "0.3",
    "OLLAMA_MAX_RETRIES": "0",
    "NODE_ID": NAME,
    "NODE_SECRET": "hush-hush",
    "ACCOUNT_ID": "a1",
    "NODE_PUB_KEY": "0xabc",
}
BIG = "word " * 600_000
"""More than a disk with no room for a megabyte takes."""


class Command:
    """A command that runs on this loop, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.said += data.decode(errors="replace")

    async def says(self, text: str) -> None:
        async def told() -> bool:
            return text in self.said or self.process.returncode is not None

        await until(told, f"{text!r} in {self.said}", 20)
        assert text in self.said

    async def ends(self, timeout_s: float = 30) -> int:
        async with asyncio.timeout(timeout_s):
            await self._reading
            return await self.process.wait()


@contextlib.asynccontextmanager
async def command(
    *arguments: str, cwd: Path, before: Callable[[], object] | None = None, **env: str
) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, MAIN, *arguments),
        cwd=cwd,
        env=environment(**{**QUICK, **env}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=before,
    )
    running = Command(process)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await running.ends()


async def ended(*arguments: str, cwd: Path, **env: str) -> tuple[int, str]:
    async with command(*arguments, cwd=cwd, **env) as running:
        return await running.ends(), running.said


@contextlib.asynccontextmanager
async def node(
    around: World, engine: Ollama, before: Callable[[], object] | None = None, **env: str
) -> AsyncIterator[Command]:
    """A node that works for this gateway; its standard error is with what it says."""
    place = {"API_GATEWAY_URL": around.url, "OLLAMA_BASE_URL": engine.url}
    async with command("node", cwd=around.folder, before=before, **{**place, **env}) as running:
        yield running


async def test_ok_after_a_drain_by_command(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around, node(around, engine) as running:
        await running.says("Health, metrics and control are at")
        assert (await around.answer("m:1b")).status == "success"
        code, said = await ended("status", cwd=tmp_path)
        assert code == ExitCode.OK
        assert f"{NAME} as worker" in said
        for order, condition in (("pause", "paused"), ("resume", ""), ("drain", "")):
            code, said = await ended(order, cwd=tmp_path)
            assert (code, said.startswith(f"{NAME}: {condition}")) == (ExitCode.OK, True), said
        assert await running.ends() == ExitCode.OK, running.said


async def test_silent_listeners_hold_up_no_process(tmp_path: Path) -> None:
    streams: list[asyncio.StreamWriter] = []
    async with (
        await asyncio.start_server(lambda _, writer: streams.append(writer), "127.0.0.1", 0) as silent,
        ollama("m:1b") as engine,
        world(tmp_path) as around,
    ):
        place = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        listeners = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{place}", "KAFKA_BROKERS": place}
        async with node(around, engine, **listeners, PERFORMANCE_SAMPLE_RATE="1") as running:
            await running.says("Health, metrics and control are at")
            assert (await around.answer("m:1b")).status == "success"
            running.process.send_signal(signal.SIGTERM)
            assert await running.ends(10) == ExitCode.OK, running.said
        for stream in streams:
            stream.close()


async def test_a_defect_is_told_with_its_traceback() -> None:
    broken = "import node.cli.steering as s; s.read_handles = None; import node.cli.main as m; m.main(['status'])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", broken, cwd=ROOT, stderr=asyncio.subprocess.PIPE, env=environment()
    )
    _, said = await process.communicate()
    assert process.returncode == ExitCode.DEFECT
    assert b"Traceback" in said


@pytest.mark.parametrize("arguments", [("node", "--frob"), ("doctor", "--json=3"), ("pause", "now"), ("nod",)])
async def test_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code, said = await ended(*arguments, cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "Traceback" not in said


def test_invalid_input_where_no_node_runs(tmp_path: Path) -> None:
    for order in ("status", "pause", "resume", "drain"):
        done = told(order, cwd=tmp_path)
        assert done.returncode == ExitCode.INVALID_INPUT
        assert done.stderr.startswith(f"{tmp_path / 'state'}: no node runs there"), done.stderr


async def test_unreachable_where_a_node_is_silent(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "nodes" / NAME
    folder.mkdir(parents=True)
    handle = {"node": NAME, "url": "http://127.0.0.1:9", "token": "t", "worker": "w"}
    handle |= {"pid": os.getpid(), "host": platform.node()}
    (folder / "control.json").write_text(json.dumps(handle))
    code, said = await ended("status", cwd=tmp_path)
    assert code == ExitCode.UNREACHABLE
    assert f"kill {os.getpid()}" in said


async def test_refused_where_the_secret_is_denied_three_times(tmp_path: Path) -> None:
    policy = SandboxPolicy(node_secrets={NodeId(NAME): Secret("another")})
    async with ollama("m:1b") as engine, world(tmp_path, policy) as around, node(around, engine) as running:
        assert await running.ends() == ExitCode.REFUSED, running.said
        assert "identity was refused" in running.said
        assert "doctor" in running.said


def little_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@contextlib.asynccontextmanager
async def node_on_a_full_disk(folder: Path) -> AsyncIterator[Command]:
    """A node with a result that its disk does not take."""
    async with ollama("m:1b") as engine, world(folder) as around, node(around, engine, little_room) as running:
        engine.default = answering(BIG)
        await running.says("Health, metrics and control are at")
        await around.submit("m:1b")
        logs = folder / "state" / "nodes" / NAME / "logs" / "nodes.log"
        await wait_until(
            lambda: logs.exists() and "result not on disk" in logs.read_text(), 20, "the disk refuses the result"
        )
        yield running


async def test_lost_where_the_disk_takes_no_result_to_the_end(tmp_path: Path) -> None:
    async with node_on_a_full_disk(tmp_path) as running:
        running.process.send_signal(signal.SIGTERM)
        assert await running.ends() == ExitCode.LOST, running.said
        assert "could not be put on disk" in running.said


async def test_interrupted_by_a_third_signal(tmp_path: Path) -> None:
    async with node_on_a_full_disk(tmp_path) as running:
        running.process.send_signal(signal.SIGTERM)
        await running.says("Draining")  # or the kernel makes one of two
        running.process.send_signal(signal.SIGTERM)
        await running.says("Stopping at once")
        running.process.send_signal(signal.SIGTERM)
        assert await running.ends(5) == ExitCode.INTERRUPTED, running.said


async def test_job_failed_where_the_answer_is_an_error(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around, node(around, engine):
        engine.default = refusing(400, "it cannot")
        code, said = await ended("submit", "Hello", "--model", "m:1b", "--gateway", around.url, cwd=tmp_path)
        assert code == ExitCode.JOB_FAILED, said


async def test_unfit_where_the_doctor_fails_something(tmp_path: Path) -> None:
    code, said = await ended("doctor", "--json", cwd=tmp_path, OLLAMA_BASE_URL="http://127.0.0.1:9")
    assert code == ExitCode.UNFIT
    checks = json.loads(said)["checks"]
    assert {tuple(check) for check in checks} == {("name", "status", "detail", "remedy")}
    assert "fail" in {check["status"] for check in checks}
