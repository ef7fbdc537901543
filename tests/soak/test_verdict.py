"""The verdict on measurements, and the harness as a whole."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.program import ROOT, environment
from tests.soak.verdict import Samples, Verdict, judge, warm_up_s


def measured(
    minutes: float = 60, *, rss_per_h: float = 0.0, fds_per_h: float = 0.0, threads_per_h: float = 0.0
) -> Samples:
    chance, samples = random.Random(1), Samples()
    for second in range(0, round(minutes * 60), 2):
        hours, warm_up = second / 3600, 30 * min(1.0, second / 600)
        fds = 300 + chance.randrange(20) + round(fds_per_h * hours)
        samples.add(
            second, 60 + warm_up + rss_per_h * hours + chance.gauss(0, 0.2), fds, 4 + round(threads_per_h * hours)
        )
    return samples


def counted(minutes: float = 60, *, entries_per_h: float = 0.0, left: int | None = 0) -> list[dict[str, Any]]:
    chance = random.Random(2)
    lines: list[dict[str, Any]] = [
        {
            "at": 1000.0 + second,
            "objects": {"node.Thing": 500 + chance.randrange(50)},
            "entries": {"node.Shelf._accepted": 2000 + chance.randrange(400) + round(entries_per_h * second / 3600)},
        }
        for second in range(0, round(minutes * 60), 15)
    ]
    return lines if left is None else [*lines, {**lines[-1], "left": ["a task"] * left}]


@pytest.mark.parametrize(
    ("samples", "censuses", "verdict", "said"),
    [
        (measured(), counted(), Verdict.FLAT, "fds 30"),
        (measured(rss_per_h=0.5), counted(), Verdict.FLAT, "RSS +0.5"),
        (measured(rss_per_h=-5), counted(), Verdict.FLAT, "RSS -4.9"),
        (measured(rss_per_h=2), counted(), Verdict.GROWING, "RSS +2"),
        (measured(rss_per_h=1), counted(), Verdict.TOO_SHORT, "RSS +1"),
        (measured(3), counted(3), Verdict.TOO_SHORT, "3.0 minutes"),
        (measured(fds_per_h=100), counted(), Verdict.GROWING, "descriptors"),
        (measured(threads_per_h=30), counted(), Verdict.GROWING, "threads"),
        (measured(), counted(entries_per_h=4000), Verdict.GROWING, "node.Shelf._accepted"),
        (measured(), counted(left=2), Verdict.GROWING, "tasks left 2"),
        (measured(), counted(left=None), Verdict.TOO_SHORT, "tasks left unknown"),
        (measured(), [], Verdict.TOO_SHORT, "tasks left unknown"),
        (Samples(), [], Verdict.TOO_SHORT, "RSS slope unknown"),
    ],
)
def test_a_verdict_says_what_was_measured(
    samples: Samples, censuses: list[dict[str, Any]], verdict: Verdict, said: str
) -> None:
    judgement = judge(samples, censuses, started=1000.0)
    assert judgement.verdict is verdict
    assert said in str(judgement)
    assert str(judgement).endswith(f": {verdict}")
    json.dumps(judgement.as_json())


def test_the_warm_up_is_a_share_with_an_end() -> None:
    assert warm_up_s(600) == 180
    assert warm_up_s(3600) == 900


@pytest.mark.parametrize("wrong", [[], ["--minutes", "0"], ["--minutes", "x"], ["--minutes", "1", "--nodes", "0"]])
def test_wrong_usage_is_told(wrong: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.soak", *wrong], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr


@pytest.mark.timeout(60)
def test_a_soak_of_seconds_works_and_tells_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "0.1", "--nodes", "10", "--census", "1", "--report", report],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    content = json.loads(report.read_text())
    assert done.stdout == content["line"] + "\n"
    assert content["verdict"] in {Verdict.TOO_SHORT, Verdict.GROWING}
    assert (content["tasks_left"], content["exit_code"]) == (0, 0)
    at_work = [census for census in content["censuses"] if "left" not in census]
    assert max(census["objects"].get("node.worker.node.WorkerNode", 0) for census in at_work) == 10
    assert max(census["entries"].get("node.outbox.shelf.Shelf._accepted", 0) for census in at_work) > 0
