"""What the fleet meets while it is watched: a gateway with faults, that goes away and comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.program import ROOT, environment, run
from tests.support.waiting import wait_until_sync

TOKEN_S: Final = 45.0
LEASE_S: Final = 30.0

SETTINGS: Final = {
    "LLM_NODE_NODE__POLL_CYCLE_S": "3",
    "LLM_NODE_NODE__SLOTS": "2",
    "LLM_NODE_NODE__JOB_DEADLINE_S": "10",
    "LLM_NODE_NODE__POLL_FAILURES": "3",
    "LLM_NODE_NODE__BACK_OFF_CAP_S": "2",
    "LLM_NODE_TIMEOUTS__RESULT_S": "5",
    "LLM_NODE_TIMEOUTS__POLL_S": "5",
    "LLM_NODE_GATEWAY__LEASE_S": f"{LEASE_S:g}",
    "LLM_NODE_RETRY__ATTEMPTS": "3",
    "LLM_NODE_RETRY__BASE_S": "0.1",
    "LLM_NODE_RETRY__CAP_S": "1",
    "LLM_NODE_AUTH__OPEN_S": "1",
    "LLM_NODE_AUTH__OPEN_CAP_S": "5",
    "LLM_NODE_FLEET__POINTS_CHECK_S": "10",
    "LLM_NODE_FLEET__STATUS_REPORT_S": "10",
    "LLM_NODE_FLEET__MODELS_UPDATE_MIN_S": "20",
    "LLM_NODE_FLEET__MODELS_UPDATE_MAX_S": "40",
    "LLM_NODE_FLEET__RECOVERY_MIN_S": "1",
    "LLM_NODE_FLEET__RECOVERY_MAX_S": "5",
    "LLM_NODE_OUTBOX__EXPIRE_S": "60",
    "LLM_NODE_EXECUTORS__ORDER": "synthetic",
    "LLM_NODE_SYNTHETIC__TOKENS_PER_S": "300",
    "LLM_NODE_LOGGING__ROTATE_MB": "1",
    "LLM_NODE_LOGGING__ROTATE_COUNT": "1",
    "MAX_START_DELAY": "5",
    "NODE_SPACING_DELAY": "0.02",
}
"""Everything that can come and go does so many times within the warm-up: sessions, leases, dead letters, log files."""


def _faults() -> list[dict[str, object]]:
    every = ("check_secret", "check_identity", "register", "update_models", "poll", "update_result", "points")
    statuses: list[dict[str, object]] = [{"kind": "status", "status": status} for status in (401, 429, 503)]
    breaks: list[dict[str, object]] = [{"kind": kind, "delay_s": 1.0} for kind in ("garble", "cut", "reset", "delay")]
    rules: list[dict[str, object]] = [
        {"step": step, "probability": 0.004, **kind} for step in every for kind in (*statuses, *breaks)
    ]
    # Refused for good: such results become dead letters, which expire.
    return [*rules, {"step": "update_result", "kind": "status", "status": 422, "probability": 0.01}]


@dataclass
class Gateway:
    """The sandbox in a process of its own, at an address that outlives it."""

    folder: Path
    port: int
    jobs_per_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def furnish(self) -> None:
        """Write its policy."""
        workload = {"other_models": ["llama3.1:latest"], "rate_per_s": self.jobs_per_s, "share_other": 1.0}
        policy = {
            "port": self.port,
            "data_dir": str(self.folder / "data"),
            "token_lifetime_s": TOKEN_S,
            "lease_s": LEASE_S,
            "keep_results_s": 60.0,
            "control_token": "soak",
            "seed": 1,
            "workload": workload,
            "faults": _faults(),
        }
        (self.folder / "policy.json").write_text(json.dumps(policy))

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it listens."""
        process = subprocess.Popen(
            [sys.executable, "-m", "node.sandbox", "--config", str(self.folder / "policy.json")],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "gateway.err").open("ab"),
        )
        wait_until_sync(lambda: self._listens() or process.poll() is not None, 30, "the gateway listens")
        assert process.poll() is None, (self.folder / "gateway.err").read_text()
        return process

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Have it hang: its connections stand, and nothing comes."""
    process.send_signal(signal.SIGSTOP)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def fleet(folder: Path, gateway: str, nodes: int, every_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """The program, and a census of it in ``census.jsonl``; it is drained at the block's end."""
    made = run("roster", "--nodes", str(nodes), "-o", str(folder / "nodes.csv"), timeout_s=60)
    assert made.returncode == 0, made.stderr
    arguments = ("--gateway", gateway, "--nodes", str(folder / "nodes.csv"), "--state-dir", str(folder / "state"))
    env = environment(**SETTINGS, SOAK_CENSUS=str(folder / "census.jsonl"), SOAK_EVERY_S=str(every_s))
    with (folder / "fleet.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.fleet", *arguments, "--summary", str(folder / "summary.json")],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(90)
    finally:
        process.kill()
        process.wait()


def rss_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    """Open file descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
