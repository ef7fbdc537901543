"""Load tests over several processes: nothing is lost on the way, and what is lost is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.app.loadtest.shards_task import ShardGateway, read_task, task_of
from node.domain.secret import Secret
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.plan.scenario import Shard
from node.settings.load import load
from tests.integration.loadtest.sharded import PLAN, Watcher, children, processes, sharded_run, soon
from tests.support.waiting import wait_until, wait_until_sync

ROOT = Path(__file__).parents[3]
KILL = '[[faults]]\nkind = "kill"\nat = "2s"\nshare = "40%"\nrestart_after = "1s"\n'
EXPIRE = '[[faults]]\nkind = "expire-tokens"\nat = "3s"\n'


@pytest.mark.slow
async def test_two_processes_make_one_run(tmp_path: Path) -> None:
    watcher = Watcher()
    outcome = await sharded_run(tmp_path, 2, processes, watcher, KILL + EXPIRE)
    assert outcome is not None
    jobs = outcome.report.jobs
    assert (jobs.submitted, jobs.answered) == (80, 80)
    assert jobs.claimed == jobs.accepted == 80
    # Each job's times are known although one process submitted it and another's node did it.
    assert outcome.histograms[Measure.JOB].count == 80
    assert outcome.histograms[Measure.CLAIM].count == 80
    assert sum(outcome.figures.series.rates(Measure.JOB)) == pytest.approx(80)
    assert outcome.figures.counts[Count.CRASHED] == 4
    assert outcome.report.broken == ()
    assert outcome.report.count(Kind.PHANTOM) == 0
    assert outcome.defects == ()
    assert not [reason for reason in outcome.health.reasons if "lost" in reason]
    assert len([mark for mark in outcome.figures.series.marks if mark.text.startswith("kill")]) == 1
    assert all(threshold.state.value == "passed" for threshold in outcome.outcomes)
    assert max(standing.nodes for standing in watcher.standings) == 10
    assert Phase.LOAD in {standing.phase for standing in watcher.standings}
    assert not children()


@pytest.mark.proof
@pytest.mark.slow
async def test_a_process_that_is_killed_is_told_of_and_the_run_is_void(tmp_path: Path) -> None:
    watcher = Watcher()

    def kill() -> None:
        os.kill(children()[-1], signal.SIGKILL)

    killing = asyncio.create_task(_when_loaded(watcher, kill))
    outcome = await sharded_run(tmp_path, 3, processes, watcher)
    await killing
    assert outcome is not None
    assert outcome.verdict is Verdict.VOID
    (reason,) = [reason for reason in outcome.health.reasons if "lost" in reason]
    assert reason.startswith("shard 2 of 3 was lost: its process was killed by SIGKILL; the 3 nodes")
    assert outcome.figures.counts[Count.CRASHED] == 3
    assert any("shard 2 of 3 was lost" in mark.text for mark in outcome.figures.series.marks)
    assert any("were lost" in note for note in outcome.report.notes)
    # What the dead process knew alone is unknown, and accuses nobody.
    assert outcome.report.count(Kind.PHANTOM) is None
    assert outcome.report.broken == ()
    assert any("Shard 2 of 3 was lost" in text for text in watcher.said)


@pytest.mark.slow
async def test_the_first_signal_ends_the_load_everywhere_and_what_is_there_is_told(tmp_path: Path) -> None:
    watcher = Watcher()
    stopping = asyncio.create_task(_when_loaded(watcher, lambda: os.kill(os.getpid(), signal.SIGINT)))
    outcome = await sharded_run(tmp_path, 2, processes, watcher)
    await stopping
    assert outcome is not None
    assert outcome.times.load_ended_at - outcome.times.begun_at < 4.5
    assert 0 < outcome.report.jobs.submitted < 80
    assert outcome.verdict in {Verdict.STOPPED, Verdict.VOID}
    assert not children()


@pytest.mark.slow
async def test_the_second_signal_ends_all_of_it(tmp_path: Path) -> None:
    watcher = Watcher()

    def abort() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        soon(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))

    stopping = asyncio.create_task(_when_loaded(watcher, abort))
    assert await sharded_run(tmp_path, 2, processes, watcher) is None
    await stopping
    assert not children()


@pytest.mark.proof
@pytest.mark.slow
async def test_a_pause_holds_all_shards(tmp_path: Path) -> None:
    watcher = Watcher()

    def pause() -> None:
        assert watcher.run is not None
        watcher.run.pause()
        soon(1.5, watcher.run.resume)

    pausing = asyncio.create_task(_when_loaded(watcher, pause))
    outcome = await sharded_run(tmp_path, 2, processes, watcher)
    await pausing
    assert outcome is not None
    assert outcome.report.jobs.submitted == 80
    assert outcome.times.load_ended_at - outcome.times.begun_at > 6.0
    assert any(standing.is_paused for standing in watcher.standings)
    assert any("paused" in note for note in outcome.notes)


@pytest.mark.slow
def test_no_process_is_left_when_the_program_is_killed(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(faults=""))
    command = [sys.executable, "main.py", "loadtest", str(plan), "--processes", "2", "--no-dashboard"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        parent = psutil.Process(program.pid)
        wait_until_sync(lambda: len(_shards_of(parent)) == 2, timeout_s=20)
        shards = _shards_of(parent)
        program.kill()
        program.communicate()
    gone, alive = psutil.wait_procs(shards, timeout=10)
    assert len(gone) == 2
    assert not alive


def test_a_task_holds_what_a_shard_needs_and_no_other_secret(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text('{"at_s": 0.5, "model": "llama3.1:latest"}\n')
    replay = '[[jobs.arrivals]]\nkind = "replay"\nfile = "trace.jsonl"\n[engine]'
    (tmp_path / "plan.toml").write_text(PLAN.format(faults=KILL).replace("[engine]", replay))
    flags = {"gateway.jwt_key": "the-signing-key", "timeouts.poll_s": "7", "gateway.url": "http://127.0.0.1:1"}
    loaded = load(config_file=None, profile=None, flags=flags, environ={"NODE_SECRET": "hunter2"}, cwd=tmp_path)
    plan = plan_load_test(LoadTestOrder(Path("plan.toml"), None, Secret("developer")), loaded, tmp_path)
    gateway = ShardGateway("http://127.0.0.1:1", "http://127.0.0.1:1", None, is_bundled=True)
    task = task_of(plan, Shard(1, 3), gateway, "run")
    assert b"the-signing-key" not in task
    assert b"hunter2" not in task
    work = read_task(task)
    assert work.scenario.plan == plan.scenario.plan
    assert dict(work.scenario.traces) == dict(plan.scenario.traces)
    assert work.settings.timeouts == plan.settings.timeouts
    assert work.api_key.reveal() == "developer"
    assert work.node_names == ("load-run-00001", "load-run-00004", "load-run-00007")
    with pytest.raises(ValueError, match="of version"):
        read_task(task.replace(b'"version":"', b'"version":"0', 1))
    with pytest.raises(ValueError, match="no task"):
        read_task(b"{}")


def test_a_roster_is_given_in_parts(tmp_path: Path) -> None:
    head = "node_id,secret,account_id,pub_key,models,ram,cpu,vram,gpu,os\n"
    rows = "".join(f"n{number},secret-{number},a,p,m,1,1,0,any,any\n" for number in range(10))
    (tmp_path / "nodes.csv").write_text(head + rows)
    (tmp_path / "plan.toml").write_text(PLAN.format(faults=""))
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    order = LoadTestOrder(Path("plan.toml"), Path("nodes.csv"), Secret("developer"))
    plan = plan_load_test(order, loaded, tmp_path)
    task = task_of(
        plan, Shard(0, 2), ShardGateway("http://127.0.0.1:1", "http://127.0.0.1:1", None, is_bundled=False), "run"
    )
    assert b"secret-1" not in task
    work = read_task(task)
    assert work.node_names == ("n0", "n2", "n4", "n6", "n8")
    assert plan.roster is not None
    assert work.identities.spec(4).identity == plan.roster[4].identity
    with pytest.raises(KeyError):
        work.identities.spec(1)


async def _when_loaded(watcher: Watcher, act: Callable[[], object]) -> None:
    await wait_until(lambda: any(one.submitted > 15 for one in watcher.standings), timeout_s=20)
    act()


def _shards_of(program: psutil.Process) -> list[psutil.Process]:
    return [child for child in program.children() if "shards_child" in " ".join(child.cmdline())]
