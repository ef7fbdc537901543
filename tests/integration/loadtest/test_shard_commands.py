"""``loadtest shard`` and ``loadtest merge``, as they are run on machines of their own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from node.cli.commands.loadtest.shards import start_time
from node.cli.exit_codes import ExitCode
from node.cli.main import app
from tests.acceptance.program import ROOT, Running, run, running, told, url_in
from tests.integration.loadtest.sharded import PLAN
from tests.support.waiting import wait_until_sync

PAGE = (ROOT / "docs/load-testing-distributed.md").read_text()
KEY = {"LLM_NODE_API_KEY": "developer"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    # A job that a dead node has is another's soon.
    times = {"node.job_deadline_s": 1, "timeouts.result_s": 0.5, "sandbox.lease_s": 3}
    quick = [word for name, value in times.items() for word in ("--set", f"{name}={value}")]
    with running(
        "gateway", "--feed", "0", "--state-dir", str(tmp_path / "state"), *quick, log=tmp_path / "gateway.log"
    ) as it:
        it.says("http://127.0.0.1")
        yield url_in(it.output)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.format(faults="").replace("[sandbox]", '[gateway]\nlease = "3s"\n[sandbox]'))
    return file


def shards(count: int, plan: Path, gateway: str, *more: str) -> tuple[ExitStack, list[Running]]:
    stack, folder = ExitStack(), plan.parent
    common = ("--count", str(count), "--out", str(folder / "shared"), "--gateway", gateway, "--lead", "1s", *more)
    given = [
        running(
            "loadtest", "shard", str(plan), *common, log=folder / f"{index}.log", JOB_COMPLETION_INDEX=str(index), **KEY
        )
        for index in range(count)
    ]
    return stack, [stack.enter_context(one) for one in given]


def merged(plan: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    document, state = plan.parent / "merged.json", plan.parent / "state"
    options = ("--json", str(document), "--state-dir", str(state), *more)
    done = run("loadtest", "merge", str(plan.parent / "shared"), *options, **KEY)
    return done, json.loads(document.read_text())


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_three_shards_of_which_one_is_killed_are_judged_as_one_run(plan: Path, gateway: str) -> None:
    # Nobody knows that it is dead before it has been silent for long: they stay as long as they may.
    plan.write_text(plan.read_text().replace('settle = "25s"', 'settle = "8s"'))
    stack, (first, second, third) = shards(3, plan, gateway)
    with stack:
        beat = plan.parent / "shared/1.beat.json"
        wait_until_sync(lambda: beat.exists() and json.loads(beat.read_text())["running"] == 3, 25)
        second.process.kill()
        assert [first.wait(), third.wait()] == [ExitCode.OK, ExitCode.OK]
        assert "The record of shard 0 is in" in first.output
    done, document = merged(plan, "--report", str(plan.parent / "report"))
    assert done.returncode == ExitCode.VOID, done.stdout + done.stderr
    assert "2 of 3 shards left a record." in done.stdout
    # Nobody knows yet that it will not.
    assert re.search(
        r"^Shard 1 was heard of \d+ s ago and may go on: '--wait 10m' waits for it\.$", done.stdout, re.MULTILINE
    )
    told = " ".join(done.stdout.split())
    assert (
        "Generator: shard 1 of 3 was lost: it ended without a record; the 3 nodes that it ran count as crashed" in told
    )
    jobs = document["audit"]["jobs"]
    assert 50 <= jobs["submitted"] == jobs["answered"] < 80
    assert document["audit"]["verdict"] == "clean"
    assert document["figures"]["counts"]["crashed"] == 3
    assert "was lost" in (plan.parent / "report/report.html").read_text()
    # Nothing of it is used up.
    again, document = merged(plan)
    assert again.returncode == ExitCode.VOID
    assert document["audit"]["jobs"] == jobs


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_all_shards_make_one_run_and_none_is_run_twice(plan: Path, gateway: str) -> None:
    stack, (first, second) = shards(2, plan, gateway)
    with stack:
        done, document = merged(plan, "--wait", "40s")
        assert [first.wait(), second.wait()] == [ExitCode.OK, ExitCode.OK]
    assert done.returncode in {ExitCode.OK, ExitCode.VOID}, done.stdout + done.stderr
    assert document["audit"]["jobs"]["submitted"] == document["audit"]["jobs"]["answered"] == 80
    assert not [reason for reason in document["generator"]["reasons"] if "lost" in reason]
    repeated = run(
        *("loadtest", "shard", str(plan), "--index", "1", "--count", "2", "--out", str(plan.parent / "shared")),
        *("--gateway", gateway),
        **KEY,
    )
    assert repeated.returncode == ExitCode.INVALID_INPUT
    assert "shard 1 of 2 was begun" in repeated.stderr


@pytest.mark.slow
def test_merges_of_one_folder_come_to_the_same(plan: Path, gateway: str) -> None:
    stack, (only,) = shards(1, plan, gateway, "--exclusive")
    with stack:
        assert only.wait() == ExitCode.OK
    # Each of them has asked the gateway for a job of its own; the last two know it by its public endpoints alone.
    for more in ((), ("--state-dir", str(plan.parent / "elsewhere"))):
        documents = []
        for _ in range(2):
            done, document = merged(plan, *more)
            assert done.returncode in {ExitCode.OK, ExitCode.VOID}, done.stdout + done.stderr
            documents.append({name: part for name, part in document.items() if name != "environment"})
        assert documents[0] == documents[1]
        assert documents[0]["audit"]["findings"]["miscounted"]["count"] == 0
        assert documents[0]["audit"]["jobs"]["credited"] == 80


@pytest.mark.slow
def test_a_shard_that_is_stopped_leaves_what_it_has(plan: Path, gateway: str) -> None:
    stack, (only,) = shards(1, plan, gateway)
    with stack:
        beat = plan.parent / "shared/0.beat.json"
        wait_until_sync(lambda: beat.exists() and json.loads(beat.read_text())["running"] == 10, 25)
        only.signal(signal.SIGTERM)
        assert only.wait() == ExitCode.STOPPED
    done, document = merged(plan)
    assert done.returncode in {ExitCode.STOPPED, ExitCode.VOID}
    assert document["audit"]["jobs"]["submitted"] < 80


@pytest.mark.slow
def test_a_shard_does_not_wait_for_ever_nor_after_a_signal(plan: Path, gateway: str) -> None:
    folder = plan.parent
    command = ("loadtest", "shard", str(plan), "--count", "2", "--gateway", gateway)
    late = run(*command, "--index", "0", "--out", str(folder / "a"), "--wait", "1s", **KEY)
    assert late.returncode == ExitCode.UNREACHABLE
    assert "after 1 s shards are not ready: 1" in late.stderr
    with running(*command, "--index", "1", "--out", str(folder / "b"), log=folder / "b.log", **KEY) as it:
        it.says("waiting for the others")
        wait_until_sync((folder / "b/1.ready.json").exists)
        it.signal(signal.SIGTERM)
        assert it.wait() == ExitCode.UNREACHABLE
        assert "it was stopped before it began" in it.output


def test_what_does_not_fit_is_said_at_once(plan: Path, tmp_path: Path) -> None:
    command = ["loadtest", "shard", str(plan), "--index", "0", "--count", "2", "--out", str(tmp_path / "s")]
    for arguments, words in (
        (["loadtest", str(plan), "--shards", "3"], "--ray"),
        (["loadtest", str(plan), "--ray", "head:6379"], "name the gateway"),
        (["loadtest", str(plan), "--ray", "local", "--processes", "2"], "use --shards"),
        (command, "need a gateway"),
        ([*command, "--gateway", "http://127.0.0.1:1"], "LLM_NODE_API_KEY"),
        (["loadtest", "merge", str(tmp_path)], "LLM_NODE_API_KEY"),
        (["loadtest", "merge", str(tmp_path), "--api-key", "k"], "holds nothing of any shard"),
    ):
        done = told(*arguments)
        assert (done.returncode, words in done.stderr) == (ExitCode.INVALID_INPUT, True), done.stderr


def test_a_time_to_begin_at() -> None:
    import time

    assert start_time("2999-01-01T00:00:00Z") == 32472144000.0
    step = start_time("5m")
    assert step % 300 == 0
    assert 19 < step - time.time() <= 320
    for text in ("2999-01-01T00:00:00", "2020-01-01T00:00:00Z", "soon"):
        with pytest.raises(typer.BadParameter):
            start_time(text)


def test_the_page_names_options_that_exist() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, click.Group) or hasattr(root, "commands")
    loadtest = root.commands["loadtest"]  # type: ignore[attr-defined]
    known = {
        option for command in loadtest.commands.values() for parameter in command.params for option in parameter.opts
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert {
        "--processes",
        "--ray",
        "--shards",
        "--index",
        "--count",
        "--out",
        "--start-at",
        "--lead",
        "--wait",
    } <= named
    assert named - known == {"--from-file", "--from-literal"}
