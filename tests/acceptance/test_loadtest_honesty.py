"""What a load test says when the gateway stands still, and when it does so itself."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from tests.acceptance.program import Running, running
from tests.support.waiting import wait_until_sync

PLAN = """
name = "short"
duration = "8s"
settle = "8s"
warm_up = "0s"
thresholds = ["jobs.submitted > 50"]
[nodes]
poll_cycle = "200ms"
[[nodes.stages]]
kind = "storm"
to = 12
[[jobs.arrivals]]
kind = "constant"
rate = "25/s"
[engine]
output_tokens = 5
tokens_per_s = 50
[sandbox]
lease = "30s"
"""


def stand(seconds: float) -> None:
    """Let this much time go by."""
    end = time.monotonic() + seconds
    wait_until_sync(lambda: time.monotonic() >= end, seconds + 5)


@contextmanager
def under_way(folder: Path) -> Iterator[tuple[Running, Path]]:
    """A load test two seconds after its load has begun, and where it writes its document."""
    plan, document = folder / "plan.toml", folder / "result.json"
    plan.write_text(PLAN)
    command = ("loadtest", str(plan), "--json", str(document))
    with running(*command, log=folder / "log", cwd=folder) as program:
        program.says("a sandbox gateway runs at")
        stand(2.0)
        yield program, document


def stop_for(pid: int, seconds: float) -> None:
    """Let a process stand still for a time."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stand(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.proof
def test_a_gateway_that_stalls_shows_in_all_that_was_due_meanwhile(tmp_path: Path) -> None:
    """Not in the one request alone that each client was waiting for: coordinated omission."""
    with under_way(tmp_path) as (program, document):
        pid = program.process.pid
        (sandbox,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        stop_for(int(sandbox), 3.0)
        assert program.wait(40) in {ExitCode.OK, ExitCode.VOID}, program.output
    told = json.loads(document.read_text())
    latencies = told["judged"]["latencies"]
    assert told["figures"]["counts"]["offered"] == 200
    # Jobs were due 40 ms apart, and waited from 0 to 3 s: three in eight of all.
    assert latencies["submit"]["count"] == 200
    assert latencies["submit"]["p99"] > 2.5
    assert latencies["submit"]["p90"] > 1.5
    assert latencies["submit"]["p50"] < 1.0
    # A dozen polls were under way; those that nodes would have made meanwhile are counted, too.
    assert latencies["poll_empty"]["p90"] > 1.5
    assert told["audit"]["verdict"] == "clean"


@pytest.mark.proof
def test_a_generator_that_stands_still_voids_its_figures(tmp_path: Path) -> None:
    with under_way(tmp_path) as (program, document):
        for _ in range(2):
            stop_for(program.process.pid, 1.2)
            stand(0.8)
        assert program.wait(40) == ExitCode.VOID, program.output
        assert "Generator: the event loop was late by" in program.output
        assert "Generator: submissions were sent" in program.output
        assert "Verdict: void" in program.output
        assert "Audit: clean" in program.output
    told = json.loads(document.read_text())
    assert told["verdict"] == "void"
    assert told["generator"]["is_void"]
    assert told["generator"]["found"]["loop_lag_s"] > 0.5
