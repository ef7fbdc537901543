"""A run against earlier ones: whole load tests in virtual time, whose gateway is as uneven as one in life."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from node.app.loadtest.comparison import RunDocument, compare_runs, read_run, run_of
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.comparison import Baselines, comparison_parts, run_comparison
from node.domain.errors import InvalidInput
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.compare import Answer
from node.loadtest.figures.figures import Count
from tests.acceptance.program import run as program
from tests.integration.loadtest.world import plan_text, world
from tests.support.virtual_time import in_virtual_time

ARRIVALS = '[[jobs.arrivals]]\nkind = "poisson"\nrate = 15\nat = "1s"'
KEEP = 0.9
SPREAD = 0.04
STEP_S = 0.1


class Uneven:
    """A gateway that takes about 20 ms for a request, more or less for a while, and not the same on two days."""

    def __init__(self, app: ASGIApp, seed: int, slower: float) -> None:
        self._app = app
        self._chance = random.Random(seed)
        self._mean_s = 0.02 * slower * self._chance.gauss(1.0, 0.01)
        self._state = self._chance.gauss(0.0, SPREAD)
        self._at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = asyncio.get_running_loop().time()
        while self._at + STEP_S <= now:
            self._at = max(self._at + STEP_S, now - 10)
            self._state = KEEP * self._state + self._chance.gauss(0.0, SPREAD * (1 - KEEP**2) ** 0.5)
        await asyncio.sleep(self._mean_s * max(0.1, 1 + self._state) * self._chance.gammavariate(30, 1 / 30))
        await self._app(scope, receive, send)


async def outcome_of(seed: int, slower: float, **changes: object) -> LoadOutcome:
    given = {"duration": "62s", "arrivals": ARRIVALS, "speed": 400, "cycle": "500ms", "thresholds": "[]"}
    text = plan_text(**(given | {"seed": seed} | changes)).replace('warm_up = "0s"', 'warm_up = "3s"')
    async with world(text, around_app=lambda app: Uneven(app, seed, slower)) as it:
        return await it.outcome()


@functools.cache
def measured(seed: int, slower: float = 1.0, **changes: object) -> LoadOutcome:
    found: list[LoadOutcome] = []

    async def run() -> None:
        found.append(await outcome_of(seed, slower, **changes))

    in_virtual_time(run)()
    return found[0]


def run(seed: int, slower: float = 1.0) -> RunDocument:
    return run_of(measured(seed, slower), f"run {seed}")


def written(path: Path, outcome: LoadOutcome) -> Path:
    path.write_text(json.dumps(outcome.to_document()))
    return path


def test_a_tenth_slower_is_found_and_nothing_else(tmp_path: Path) -> None:
    before, after, slow = measured(1), measured(2), measured(3, 1.1)
    baseline = read_run(written(tmp_path / "a.json", before), "a.json")
    assert baseline.stretch == before.stretch
    same = compare_runs([baseline], run_of(after))
    assert same.answer is Answer.SAME
    assert same.warnings == ("a.json had another plan, which differs in seed",)
    worse = compare_runs([baseline], run_of(slow))
    by_name = {one.metric: one for one in worse.comparisons}
    assert worse.answer is Answer.WORSE
    assert by_name["mean.empty_poll"].answer is Answer.WORSE
    change = by_name["mean.empty_poll"].change
    assert change is not None
    assert 0.05 < change < 0.16
    assert by_name["accepted_rate"].answer is Answer.SAME
    assert compare_runs([run_of(slow)], baseline).answer is Answer.BETTER


@pytest.mark.proof
@pytest.mark.timeout(240)
def test_of_twenty_comparisons_at_most_one_is_called_different_and_a_slowdown_always() -> None:
    runs = [run(seed) for seed in range(21)]
    answers = [compare_runs([one], two).answer for one, two in itertools.pairwise(runs)]
    assert len([answer for answer in answers if answer is not Answer.SAME]) <= 1
    slow = [compare_runs([runs[seed]], run(100 + seed, 1.1)).answer for seed in range(5)]
    assert slow == [Answer.WORSE] * 5


def test_the_command_tells_and_fails_only_when_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = written(tmp_path / "a.json", measured(1))
    slow = written(tmp_path / "slow.json", measured(3, 1.3))
    document = tmp_path / "c.json"
    assert run_comparison([one], slow, document, fail_on_worse=False) is ExitCode.OK
    printed = capsys.readouterr().out
    assert "mean.empty_poll" in printed
    assert "Comparison: worse than the baseline" in printed
    assert len([line for line in printed.splitlines() if line.startswith("mean.empty_poll")]) == 1
    monkeypatch.setenv("COLUMNS", "40")
    assert run_comparison([one], slow, None, fail_on_worse=False) is ExitCode.OK
    narrow = capsys.readouterr().out
    assert "…" not in narrow
    assert re.search(r"mean\.empty_poll: \S+, was \S+, \+\d+\.\d% ±\s\d+\.\d%: worse", " ".join(narrow.split()))
    found = json.loads(document.read_text())
    assert found["answer"] == "worse"
    assert {metric["answer"] for metric in found["metrics"]} >= {"worse", "same"}
    assert run_comparison([one], slow, None, fail_on_worse=True) is ExitCode.THRESHOLDS
    assert run_comparison([slow], one, None, fail_on_worse=True) is ExitCode.OK
    assert run_comparison([one, one], one, None, fail_on_worse=True) is ExitCode.OK


def test_another_plan_is_told_by_its_keys(tmp_path: Path) -> None:
    baseline = read_run(written(tmp_path / "a.json", measured(1)), "a.json")
    other = run_of(measured(1, cycle="250ms", slots=2, thresholds='["jobs.lost == 0"]'))
    (warning,) = compare_runs([baseline], other).warnings
    assert warning == "a.json had another plan, which differs in nodes.slots, nodes.poll_cycle_s, thresholds"
    (part, told, *_) = comparison_parts(compare_runs([baseline], other))
    assert (str(part), str(told)) == ("this run against a.json", f"Warning: {warning}")


def test_what_is_void_is_not_compared_and_too_little_is_said_to_be(tmp_path: Path) -> None:
    whole, short = measured(1), measured(1, duration="10s")
    void = compare_runs([run_of(replace(whole, verdict=Verdict.VOID), "old")], run_of(whole))
    assert void.answer is Answer.UNKNOWN
    assert void.comparisons == ()
    assert void.warnings == ("old is void, so nothing is compared: its generator fell short",)
    little = compare_runs([run_of(short)], run_of(whole))
    assert {one.answer for one in little.comparisons} == {Answer.UNKNOWN}
    stopped = compare_runs([run_of(replace(whole, verdict=Verdict.STOPPED), "old")], run_of(whole))
    assert stopped.warnings == ("old was stopped before its time",)


def test_a_run_is_measured_by_what_it_was_given() -> None:
    outcome = measured(1)
    none, strict = Baselines(), Baselines((run_of(measured(2)),), fail_on_worse=True)
    assert none.against(outcome) is None
    assert none.exit_code(None, ExitCode.OK) is ExitCode.OK
    assert strict.exit_code(strict.against(outcome), ExitCode.OK) is ExitCode.OK
    slow = strict.against(measured(3, 1.3))
    assert strict.exit_code(slow, ExitCode.OK) is ExitCode.THRESHOLDS
    assert strict.exit_code(slow, ExitCode.AUDIT) is ExitCode.AUDIT


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("no json", "is no JSON"),
        ("[1]", "is no load test's document"),
        ('{"schema": 1}', "is no load test's document"),
        ("[" * 100_000, "document"),
        ('{"schema": 99, "figures": {}}', "is of version 99, and this program reads version 1"),
        ('{"schema": 1, "figures": {}}', "is not complete"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInput, match=r"x\.json") as raised:
        read_run(path, "x.json")
    assert problem in raised.value.faults[0].problem


REAL = """
name = "real"
duration = "14s"
settle = "10s"
warm_up = "1s"
thresholds = ["jobs.lost == 0"]
[nodes]
poll_cycle = "500ms"
[[nodes.stages]]
kind = "ramp"
to = 20
over = "1s"
[[jobs.arrivals]]
kind = "constant"
rate = "20/s"
at = "1s"
[engine]
output_tokens = 10
tokens_per_s = 200
[sandbox]
lease = "10s"
latency = "{latency}"
"""


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_slower_gateway_is_worse_for_real(tmp_path: Path) -> None:
    """On a machine that is too busy a run is void, and must not be compared."""
    plan, before, after = (tmp_path / name for name in ("plan.toml", "before.json", "after.json"))
    plan.write_text(REAL.format(latency="0s"))
    first = program("loadtest", str(plan), "--json", str(before), cwd=tmp_path, timeout_s=50)
    plan.write_text(REAL.format(latency="60ms"))
    options = ("--compare", str(before), "--fail-on-worse", "--json", str(after))
    second = program("loadtest", str(plan), *options, cwd=tmp_path, timeout_s=50)
    comparison = json.loads(after.read_text())["comparison"]
    assert "had another plan, which differs in sandbox.latency_s" in " ".join(second.stdout.split())
    if ExitCode.VOID in (first.returncode, second.returncode):
        assert comparison["answer"] == "unknown"
        assert "void, so nothing is compared" in " ".join(second.stdout.split())
        return
    assert first.returncode == ExitCode.OK, first.stdout
    assert second.returncode == ExitCode.THRESHOLDS, second.stdout
    assert comparison["answer"] == "worse"
    assert "Comparison: worse than the baseline" in second.stdout


@in_virtual_time
async def test_seconds_in_which_the_load_began_or_ended_are_not_compared() -> None:
    arrivals = '[[jobs.arrivals]]\nkind = "constant"\nrate = 10'
    async with world(plan_text(arrivals=arrivals, duration="12s", speed=400, thresholds="[]")) as it:
        run = run_of(await it.outcome())
    # It begins half a second after the program does: the first and the last cell are half full.
    assert run.stretch.seconds < run.stretch.end - run.stretch.start
    window = run.window
    assert min(window.of(run.figures.series.rates(Count.SUBMITTED))) == pytest.approx(10, abs=1)
    assert window.end - window.start >= 10
