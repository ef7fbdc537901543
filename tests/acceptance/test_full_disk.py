"""Commands whose standard output is on a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from tests.acceptance.program import MAIN, environment

FULL = Path("/dev/full")
LOST = "Standard output does not take what is written (No space left on device): the {} goes on without it."
PLAN = """
name = "small"
duration = "1s"
warm_up = "0s"
thresholds = [{thresholds}]
[nodes]
poll_cycle = "100ms"
[[nodes.stages]]
kind = "storm"
to = 2
[jobs]
[[jobs.arrivals]]
kind = "constant"
rate = 10
[engine]
output_tokens = 1
tokens_per_s = 100
"""

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no full disk")


def told(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code, and what is said on standard error."""
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, MAIN, *arguments],
            cwd=folder,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=25,
            check=False,
        )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("threshold", "code"), [("", ExitCode.STORAGE), ('"jobs.submitted > 99"', ExitCode.THRESHOLDS)]
)
def test_a_load_test_goes_on_and_keeps_its_verdict(tmp_path: Path, threshold: str, code: ExitCode) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.format(thresholds=threshold))
    ended, words = told(tmp_path, "loadtest", "plan.toml", "--json", "run.json")
    assert words == LOST.format("load test")
    verdict = json.loads((tmp_path / "run.json").read_text())["verdict"]
    # A busy machine may void it.
    assert ended == (ExitCode.VOID if verdict == "void" else code)


def test_what_is_only_told_is_lost(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.format(thresholds=""))
    for arguments, words in (
        (("loadtest", "plan.toml", "--check"), LOST.format("load test")),
        (("loadtest", "--help"), "What was to be written is lost: No space left on device."),
        (("simulate", "--help"), "What was to be written is lost: No space left on device."),
    ):
        assert told(tmp_path, *arguments) == (ExitCode.STORAGE, words)
