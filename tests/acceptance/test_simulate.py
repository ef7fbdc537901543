"""``simulate`` from outside: a run to its end, stops at any moment, crashes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.program import MAIN, QUICK, ROOT, environment, run, running, summary, url_in
from tests.support.waiting import wait_until_sync


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def sandboxes_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and b"node.sandbox" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.timeout(60)
def test_a_run_needs_nothing_and_loses_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "s.json"
    done = run("--duration", "8s", "--summary", str(figures), "--state-dir", str(tmp_path / "state"), **QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    content = summary(figures)
    jobs = content["jobs"]
    assert jobs["lost"] == 0
    assert jobs["received"] == jobs["answered"] == jobs["accepted"] > 50
    assert jobs["stored"] > jobs["synthetic"] > 0
    assert content["nodes"] == {"total": 20, "by_state": {"stopped": 20}, "with_jobs": 20}
    assert content["points"] > 0
    assert content["polls"] >= jobs["received"]
    assert content["latency_ms"]["job"]["p99"] >= content["latency_ms"]["job"]["p50"] > 0
    assert "a sandbox gateway runs at http://127.0.0.1:" in done.stdout
    assert done.stdout.count("run: ollama serve") == 1
    assert "\x1b" not in done.stdout


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moment", ["at once", "starting", "working"])
def test_one_interrupt_stops_gracefully_at_any_moment(tmp_path: Path, moment: str) -> None:
    figures = tmp_path / "s.json"
    state = str(tmp_path / "state")
    with running("--summary", str(figures), "--state-dir", state, log=tmp_path / "log", **QUICK) as program:
        if moment == "starting":
            program.says("a sandbox gateway runs")
        elif moment == "working":
            program.says("ok,")
        else:
            program.says("20 nodes over")
        program.signal(signal.SIGINT)
        code = program.wait()
        children = sandboxes_of(program.process.pid)
    assert not children
    assert "Traceback" not in program.output
    if moment == "at once":
        assert code in {0, 130}
    else:
        assert code == 0, program.output
        content = summary(figures)
        assert content["jobs"]["lost"] == 0
        assert content["jobs"]["unsent"] == 0


@pytest.mark.proof
@pytest.mark.timeout(60)
def test_a_second_interrupt_stops_at_once_and_the_next_run_sends_what_is_left(tmp_path: Path) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    slow = {**QUICK, "LLM_NODE_SYNTHETIC__TOKENS_PER_S": "1", "LLM_NODE_EXECUTORS__ORDER": "synthetic"}
    with running("gateway", "--port", "0", "--state-dir", str(state), log=tmp_path / "gw", **QUICK) as gateway:
        gateway.says("listens at")
        arguments = ("--gateway", url_in(gateway.output), "--state-dir", str(state))
        with running(*arguments, log=log, **slow) as program:
            program.says("processing")
            program.signal(signal.SIGTERM)
            program.says("draining")
            program.signal(signal.SIGTERM)
            code = program.wait(10)
        assert code == 7, program.output
        assert "Stopping at once" in program.output
        listed = run("outbox", "list", "--json", "--state-dir", str(state))
        assert '"state": "unsent"' in listed.stdout
        figures = tmp_path / "s.json"
        again = run(*arguments, "--duration", "4s", "--summary", str(figures), **QUICK)
        assert again.returncode == 0, again.stdout
        assert "finished results of an earlier run" in again.stdout
        assert summary(figures)["jobs"]["unsent"] == 0


@pytest.mark.proof
@pytest.mark.timeout(90)
def test_nothing_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    settings = {
        **QUICK,
        "LLM_NODE_SANDBOX__LEASE_S": "3",
        "LLM_NODE_NODE__JOB_DEADLINE_S": "1",
        "LLM_NODE_TIMEOUTS__RESULT_S": "0.9",
        "LLM_NODE_GATEWAY__LEASE_S": "3",
    }
    with running("gateway", "--data", str(data), "--state-dir", str(state), log=tmp_path / "gw", **settings) as gateway:
        gateway.says("listens at")
        arguments = ("--gateway", url_in(gateway.output), "--state-dir", str(state))
        for round_ in range(3):
            with running(*arguments, log=tmp_path / f"log{round_}", **settings) as program:
                program.says("ok,")
                program.process.kill()
        figures = tmp_path / "s.json"
        last = run(*arguments, "--duration", "8s", "--summary", str(figures), **settings)
        assert last.returncode == 0, last.stdout
        ledger = summary(figures)["ledger"]
    assert ledger["lost"] == 0
    assert ledger["submitted"] == ledger["accepted"] + ledger["pending"] + ledger["leased"]


@pytest.mark.timeout(60)
def test_no_sandbox_outlives_a_killed_program(tmp_path: Path) -> None:
    with running("--state-dir", str(tmp_path / "state"), log=tmp_path / "log", **QUICK) as program:
        program.says("a sandbox gateway runs")
        children = sandboxes_of(program.process.pid)
        assert len(children) == 1
        program.process.kill()
    wait_until_sync(lambda: not alive(children[0]), 10, "the sandbox is gone")


@pytest.mark.proof
@pytest.mark.timeout(90)
def test_every_node_comes_back_when_its_gateway_does(tmp_path: Path) -> None:
    state, data, figures = tmp_path / "state", tmp_path / "data", tmp_path / "s.json"
    with running("gateway", "--data", str(data), "--state-dir", str(state), log=tmp_path / "g1", **QUICK) as gateway:
        gateway.says("listens at")
        url = url_in(gateway.output)
        arguments = ("--gateway", url, "--state-dir", str(state), "--summary", str(figures), "--duration", "20s")
        with running(*arguments, "--log-level", "debug", log=tmp_path / "log", **QUICK) as program:
            program.says("ok,")
            gateway.process.kill()
            gateway.process.wait(5)
            program.says("error", timeout_s=20)
            port = url.rpartition(":")[2]
            second = ("gateway", "--data", str(data), "--port", port, "--state-dir", str(state))
            with running(*second, log=tmp_path / "g2", **QUICK) as gateway_again:
                gateway_again.says("listens at")
                back_at = datetime.now(UTC).isoformat()
                assert program.wait(40) == 0, program.output
    content = summary(figures)
    assert content["jobs"]["lost"] == 0
    assert content["jobs"]["dead"] == 0
    assert content["jobs"]["received"] == content["jobs"]["answered"] == content["jobs"]["accepted"]
    polls = re.findall(r'timestamp=(\S+) .* event="poll ended" node=(\S+)', (state / "logs" / "nodes.log").read_text())
    assert len({node for at, node in polls if at > back_at}) == 20


def test_a_gateway_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--gateway", "http://127.0.0.1:9", "--duration", "2s", "--state-dir", str(tmp_path), **QUICK)
    assert "http://127.0.0.1:9 does not answer" in done.stdout
    assert done.returncode == 0


@pytest.mark.proof
@pytest.mark.timeout(60)
def test_a_run_ends_when_every_identity_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"open_registration": false}')
    gateway = subprocess.Popen(
        [sys.executable, "-m", "node.sandbox", "--config", str(policy)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert gateway.stdout is not None
        url = json.loads(gateway.stdout.readline())["url"]
        done = run("--gateway", url, "--duration", "20s", "--state-dir", str(tmp_path / "state"), **QUICK)
    finally:
        gateway.terminate()
        gateway.communicate(timeout=10)
    assert done.returncode == 8, done.stdout
    assert "Every node's identity was refused" in done.stdout


@pytest.mark.timeout(60)
def test_a_reader_that_goes_stops_the_run_gracefully(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, MAIN, "--state-dir", str(tmp_path / "state"), "--summary", str(tmp_path / "s.json")],
        cwd=ROOT,
        env=environment(**QUICK),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    assert summary(tmp_path / "s.json")["jobs"]["lost"] == 0
