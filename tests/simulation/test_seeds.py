"""Seeds that always run, and some that never ran before."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.batch import Sums, run_seed
from tests.simulation.plan import draw_plan
from tests.simulation.world import run

pytestmark = pytest.mark.timeout(180)

FIXED = (1, 5, 7, 271, 2007, 2030)
NEW = tuple(random.SystemRandom().randrange(1_000_000, 1 << 40) for _ in range(2))


@pytest.mark.parametrize("seed", FIXED)
def test_a_seed_that_always_runs(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize("number", range(len(NEW)))
def test_a_seed_that_never_ran_before(number: int) -> None:
    check(NEW[number])


def check(seed: int) -> None:
    outcome, _ = run_seed(seed)
    assert not outcome.violations, f"python -m tests.simulation replay {seed}\n" + "\n".join(outcome.violations)


def test_a_seed_in_a_batch_has_the_same_history_as_alone(tmp_path: Path) -> None:
    run(draw_plan(11))
    here = run(draw_plan(10), keep_history=True)
    file = tmp_path / "history.txt"
    command = [sys.executable, "-m", "tests.simulation", "replay", "10", "--history", str(file)]
    # Other addresses and another hash of every string: neither may matter.
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "COVERAGE_PROCESS_START": ""}
    alone = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert here.digest in alone.stdout
    assert file.read_text().splitlines() == here.history
    assert len(here.history) > 1000


def test_batches_can_be_added_up() -> None:
    whole, parts = Sums(), [Sums(), Sums()]
    for number, seed in enumerate((10, 11)):
        outcome, cpu_s = run_seed(seed)
        whole.add(outcome, cpu_s)
        parts[number].add(outcome, cpu_s)
    joined = Sums()
    for part in parts:
        joined.join(Sums.load(part.dump()))
    assert joined == whole
    assert joined.line() == whole.line()
