"""The short form of the kills, the whole harness on a program with a planted bug, and the harness's own end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.crash.kills import KillPlan, planted, run_kills
from tests.crash.processes import ROOT, environment
from tests.support.waiting import wait_until

HARNESS = """
import asyncio, pathlib, sys
from tests.crash.processes import Programs

async def main(folder):
    async with Programs() as programs:
        await programs.start(["-c", "import time; time.sleep(60)", str(folder)], folder, folder / "output", {})
        await asyncio.sleep(60)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_nothing_is_lost_or_doubled_when_the_program_is_killed(tmp_path: Path) -> None:
    plan = KillPlan(
        6, seed="1", workers=2, nodes=2, jobs_per_s=8, life_s=(0, 0.7), early_share=0, gateway_life_s=(2, 5)
    )
    tally = await run_kills(plan, tmp_path)
    assert tally.breaches == []
    assert tally.counts["kills"] == 6
    assert tally.counts["results finished"] > 5
    assert tally.counts["jobs credited"] > 5


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("bug", "kind"), [("early-acknowledgement", "lost"), ("forgetful-start", "lost"), ("run-again", "doubled")]
)
async def test_a_planted_bug_is_caught(tmp_path: Path, bug: str, kind: str) -> None:
    plan = KillPlan(20, seed="1", workers=1, nodes=2, jobs_per_s=20.0, gateway_life_s=None, until_breach=True)
    tally = await run_kills(planted(plan, bug), tmp_path)
    assert tally.counts[kind] > 0, tally.line(["kills", "results finished"])


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="a parent's sudden death is told to children on Linux alone")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
async def test_no_process_outlives_the_harness(tmp_path: Path, ending: signal.Signals) -> None:
    harness = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HARNESS, str(tmp_path)),
        cwd=ROOT,
        env=environment({}),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await wait_until(lambda: programs_below(tmp_path) - {harness.pid}, 30, "its program runs")
        harness.send_signal(ending)
        await harness.wait()
    finally:
        if harness.returncode is None:
            harness.kill()
    await wait_until(lambda: not programs_below(tmp_path), 10, "no process is left")


def programs_below(folder: Path) -> set[int]:
    """The processes that were started with a path below this folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command:
                found.add(int(entry.name))
    return found
