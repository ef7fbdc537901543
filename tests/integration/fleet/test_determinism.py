"""From the same seed comes the same history, event for event: in this process, and in another that hashes otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.fleet.scenario import run
from tests.support.fleet import first_difference

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[3]


def digest_of_another_process(seed: int, hash_seed: int) -> str:
    command = [sys.executable, "-m", "tests.integration.fleet.scenario", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    one, other = run(seed=7), run(seed=7)
    assert first_difference(one.history.lines, other.history.lines) == ""
    assert len(one.history.lines) > 3000
    one.check()
    assert digest_of_another_process(7, hash_seed=1) == one.history.digest
    assert first_difference(one.history.lines, run(seed=8).history.lines) != ""
