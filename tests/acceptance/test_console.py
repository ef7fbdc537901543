"""A node's console: what it tells there, and that the node does without one; and how a loop that stands shows itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tests.acceptance.program import MAIN, environment
from tests.acceptance.test_exit_codes import NAME, QUICK, command, node
from tests.integration.doctor.test_doctor import free_port
from tests.integration.production.world import Ollama, World, ollama, world
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import stalling

pytestmark = pytest.mark.timeout(60)


class Unread:
    """A node whose output goes where nobody reads it."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder / "state" / "nodes" / NAME

    def log(self) -> str:
        path = self.folder / "logs" / "general.log"
        return path.read_text() if path.exists() else ""

    def url(self) -> str:
        url: str = json.loads((self.folder / "control.json").read_text())["url"]
        return url

    async def is_up(self) -> None:
        await wait_until((self.folder / "control.json").exists, 20, "it is up")


@contextlib.asynccontextmanager
async def unread(
    around: World, engine: Ollama, out: int, before: Callable[[], object] | None = None, **env: str
) -> AsyncIterator[Unread]:
    place = {"API_GATEWAY_URL": around.url, "OLLAMA_BASE_URL": engine.url, "LLM_NODE_FLEET__STATUS_REPORT_S": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, MAIN, "node"),
        cwd=around.folder,
        env=environment(**{**QUICK, **place, **env}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        preexec_fn=before,
    )
    try:
        yield Unread(process, around.folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _pipe_without_a_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def _full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("opened", [_pipe_without_a_reader, _full_device])
async def test_a_node_goes_on_where_nobody_takes_what_it_says(tmp_path: Path, opened: Callable[[], int]) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around:
        out = opened()
        async with unread(around, engine, out) as running:
            os.close(out)
            await running.is_up()
            for _ in range(2):
                assert (await around.answer("m:1b")).status == "success"
            await wait_until(lambda: "output lost" in running.log(), 10, "the log tells of it")
            running.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await running.process.wait() == 0
        lines = [line for line in running.log().splitlines() if "output lost" in line]
        assert len([line for line in lines if "standard output" in line]) == 1, lines
        assert len(lines) <= 2


async def test_a_node_goes_on_when_its_reader_goes(tmp_path: Path) -> None:
    reading, out = os.pipe()
    async with ollama("m:1b") as engine, world(tmp_path) as around, unread(around, engine, out) as running:
        os.close(out)
        await running.is_up()
        os.close(reading)
        await wait_until(lambda: "output lost" in running.log(), 20, "the log tells of it")
        assert (await around.answer("m:1b")).status == "success"
        assert running.process.returncode is None
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0


def _close_both() -> None:
    os.close(1)
    os.close(2)


async def test_a_node_needs_no_console_at_all(tmp_path: Path) -> None:
    async with (
        ollama("m:1b") as engine,
        world(tmp_path) as around,
        unread(around, engine, asyncio.subprocess.DEVNULL, _close_both) as running,
    ):
        await running.is_up()
        assert (await around.answer("m:1b")).status == "success"
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0
        assert "crash" not in running.log()


async def test_a_loop_that_stands_answers_no_probe_and_gives_no_sign_of_life(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0)
        watched = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        async with (
            ollama("m:1b") as engine,
            world(tmp_path) as around,
            unread(around, engine, asyncio.subprocess.DEVNULL, **watched) as running,
            httpx.AsyncClient(trust_env=False, timeout=2) as client,
        ):
            await running.is_up()
            assert (await client.get(f"{running.url()}/health/live")).status_code == 200
            await wait_until(lambda: b"WATCHDOG=1" in _received(systemd), 10, "it gives a sign of life")
            running.process.send_signal(signal.SIGSTOP)
            try:
                _received(systemd)
                with pytest.raises(httpx.TimeoutException):
                    await client.get(f"{running.url()}/health/live")
                assert _received(systemd) == [], "a loop that stands has told systemd that it is well"
            finally:
                running.process.send_signal(signal.SIGCONT)
            assert (await client.get(f"{running.url()}/health/live")).status_code == 200
            await wait_until(lambda: b"WATCHDOG=1" in _received(systemd), 10, "it gives a sign of life again")


def _received(notified: socket.socket) -> list[bytes]:
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(notified.recv(4096))
    return messages


@pytest.mark.parametrize("arguments", [(), ("--json-logs",)])
async def test_the_console_tells_of_trouble(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    dead = {
        "API_GATEWAY_URL": f"http://127.0.0.1:{free_port()}",
        "OLLAMA_BASE_URL": f"http://127.0.0.1:{free_port()}",
        "LLM_NODE_MODELS__REFRESH_S": "1",
        "LLM_NODE_FLEET__STATUS_REPORT_S": "1",
        "LLM_NODE_RETRY__ATTEMPTS": "1",
    }
    async with command("node", *arguments, cwd=tmp_path, **dead) as running:
        for told in ("node starting", "step failed", "node recovering", "engine missing", f"{NAME}: error"):
            await running.says(told)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ends() == 0, running.said
    lines = running.said.splitlines()
    if arguments:
        assert all(isinstance(json.loads(line), dict) for line in lines)
    assert "1 nodes" not in running.said


async def test_the_first_signal_is_answered_at_once(tmp_path: Path) -> None:
    async with ollama("m:1b") as engine, world(tmp_path) as around, node(around, engine) as running:
        await running.says("Health, metrics and control are at")
        engine.default = stalling("It was a dark")
        job = await around.submit("m:1b")
        await wait_until(lambda: bool(engine.requests), 10, "the job runs")
        running.process.send_signal(signal.SIGTERM)
        await running.says("Draining: 1 job has 3 s to finish, and results 1 s more to be sent.")
        assert "Ctrl+C or SIGTERM again stops at once." in running.said
        assert await running.ends() == 0, running.said
        assert (await around.answered(job)).status == "error"


async def test_a_job_time_that_the_lease_does_not_leave_is_told(tmp_path: Path) -> None:
    long = {"WORKER_TIMEOUT": "900000", "OLLAMA_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    async with command("node", cwd=tmp_path, API_GATEWAY_URL=f"http://127.0.0.1:{free_port()}", **long) as running:
        await running.says("WORKER_TIMEOUT asks for 900 s a job, and jobs get 239 s")
