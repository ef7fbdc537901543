"""Nothing blocks the event loop: no file, no process, no sleep, no import in its thread while nodes run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.program import QUICK, ROOT, environment

pytestmark = [pytest.mark.timeout(90), pytest.mark.proof]


def watched(plant: str, folder: Path) -> str:
    """What a run of some seconds found."""
    report = folder / "found.txt"
    arguments = ["--duration", "4s", "--no-dashboard", "--state-dir", str(folder / "state")]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.blocking.watched", plant, str(report), "simulate", *arguments],
        cwd=ROOT,
        env=environment(**QUICK, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return report.read_text()


def test_a_fleet_at_work_never_waits_for_the_machine(tmp_path: Path) -> None:
    assert watched("nothing", tmp_path) == ""


@pytest.mark.parametrize(
    ("plant", "event"),
    [("sleep", "time.sleep"), ("file", "open"), ("process", "subprocess.Popen"), ("import", "open")],
)
def test_a_planted_wait_is_seen(plant: str, event: str, tmp_path: Path) -> None:
    assert f"{event} " in watched(plant, tmp_path)
