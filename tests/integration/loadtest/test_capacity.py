"""The search for a gateway's capacity: its steps in virtual time, and what it makes of whatever they come to."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from rich.console import Console

from node.app.loadtest.capacity_result import CapacityOrder, CapacityResult, Find, Step
from node.app.loadtest.capacity_search import CapacitySearch, Ran
from node.app.loadtest.plan import LoadTestOrder
from node.app.loadtest.steered_run import SteeredRun
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.capacity import CapacityOptions, StepLines, exit_code, run_capacity
from node.cli.loadtest.knee import knee_parts
from node.domain.errors import ConnectFailed, InvalidInput
from node.domain.secret import Secret
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.judged import Stretch
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures
from node.loadtest.figures.health import HealthVerdict
from node.loadtest.live.watched import WatchedRun
from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from node.loadtest.plan.scaling import Load, height_of
from node.loadtest.plan.scenario import Scenario
from node.loadtest.thresholds.threshold import Outcome, State
from node.observability.bus import EventBus
from tests.acceptance.program import run, running
from tests.integration.loadtest.world import plan_text, world
from tests.support.virtual_time import in_virtual_time

THRESHOLDS = '["accepted_rate >= 0.99 * offered", "p95.queued < 1s", "jobs.lost == 0"]'


class Seen:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[Load] = []
        self.ended: list[Step] = []

    def say(self, text: str) -> None: ...
    async def begin(self, run: WatchedRun) -> None: ...
    def leave(self) -> None: ...

    def begin_step(self, number: int, load: Load) -> None:
        self.begun.append(load)
        assert number == len(self.begun)

    def end_step(self, step: Step) -> None:
        self.ended.append(step)


def plan(**changes: object) -> Plan:
    given = {"arrivals": '[[jobs.arrivals]]\nkind = "constant"\nrate = 10', "speed": 400, "thresholds": THRESHOLDS}
    return scenario_of(plan_text(**(given | changes)), "plan.toml").plan


@in_virtual_time
async def test_a_throttled_sandbox_is_found_within_five_per_cent() -> None:
    throttled = plan(nodes='[[nodes.stages]]\nkind = "storm"\nto = 15')
    throttled = throttled.model_copy(update={"sandbox": throttled.sandbox.model_copy(update={"rate_per_s": 20.0})})

    async def measured(step: Plan) -> Ran:
        async with world(Scenario(step)) as it:
            return Ran(await it.outcome())

    seen = Seen()
    result = await CapacitySearch(throttled, CapacityOrder(step_s=8.0, precision=0.03), seen).run(measured)
    assert result.knee.is_found
    assert result.knee.under is not None
    assert 19 <= result.knee.under <= 21
    assert result.limit == "gateway"
    assert result.broke_first is not None
    assert "accepted_rate >= 0.99 * offered" in " ".join(result.broke_first.broken)
    assert tuple(seen.ended) == result.steps
    assert all(load.nodes == 15 for load in seen.begun)
    # Half a second of work left over from one step would show in the next: each leaves the gateway empty.
    assert all(step.accepted == pytest.approx(step.offered, rel=0.06) for step in result.steps if step.outcome.is_met)


@functools.cache
def measured_once() -> LoadOutcome:
    found: list[LoadOutcome] = []

    async def go() -> None:
        async with world(plan_text()) as it:
            found.append(await it.outcome())

    in_virtual_time(go)()
    return found[0]


def told(
    step: Plan,
    *,
    met: bool = True,
    verdict: Verdict | None = None,
    done: float | None = None,
    found: Kind | None = None,
) -> LoadOutcome:
    """An outcome as some gateway might bring it about."""
    base, offered = measured_once(), height_of(step).jobs_per_s
    state = State.PASSED if met else State.FAILED
    threshold = base.outcomes[0].threshold
    broken = tuple(replace(one, count=3 if one.kind is found else one.count) for one in base.report.findings)
    return replace(
        base,
        plan=step,
        verdict=verdict or (Verdict.PASSED if met else Verdict.FAILED),
        outcomes=(Outcome(threshold, state, 0.0 if met else 7.0, 0.0),),
        values=dict(base.values) | {"offered": offered, "accepted_rate": offered if done is None else done},
        report=replace(base.report, findings=broken),
        health=HealthVerdict(verdict is Verdict.VOID, ("the event loop was late",), {}),
    )


Answer = Callable[[Plan], LoadOutcome | Ran]


def searched(answer: Answer, order: CapacityOrder | None = None, most_nodes: int | None = None) -> CapacityResult:
    results: list[CapacityResult] = []
    measured_once()

    async def go() -> None:
        async def measured(step: Plan) -> Ran:
            told = answer(step)
            return told if isinstance(told, Ran) else Ran(told)

        search = CapacitySearch(plan(), order or CapacityOrder(), Seen(), most_nodes)
        results.append(await search.run(measured))

    in_virtual_time(go)()
    return results[0]


def rate_of(step: Plan) -> float:
    return height_of(step).jobs_per_s


def printed(result: CapacityResult, width: int = 80) -> str:
    console = Console(width=width, highlight=False, file=io.StringIO())
    for part in knee_parts(result, console.width):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    return text


def test_a_knee_is_told_with_what_broke_first() -> None:
    result = searched(lambda step: told(step, met=rate_of(step) <= 100))
    assert result.knee.under == pytest.approx(100, rel=0.03)
    assert exit_code(result) is ExitCode.OK
    text = printed(result)
    assert "Knee: " in text
    assert "◀ knee" in text
    assert "jobs.lost == 0: 7 > 0" in text
    document = json.loads(json.dumps(result.to_document()))
    assert document["knee"]["limit"] == "gateway"
    assert document["knee"]["met"] == result.knee.under
    assert len(document["steps"]) == len(result.steps)
    assert document["find"] == "jobs"


def test_loads_bring_the_nodes_that_they_need() -> None:
    result = searched(lambda step: told(step, met=rate_of(step) <= 500))
    by_load = {step.load.jobs_per_s: step.load.nodes for step in result.steps}
    assert by_load[10.0] == 10
    assert by_load[640.0] == 48
    few = searched(lambda step: told(step, met=rate_of(step) <= 500), most_nodes=12)
    assert max(step.load.nodes for step in few.steps) == 12


def test_nodes_are_found_with_their_part_of_the_jobs() -> None:
    order = CapacityOrder(Find.NODES, precision=0.001)
    result = searched(lambda step: told(step, met=height_of(step).nodes <= 37), order)
    assert (result.knee.under, result.knee.over) == (37.0, 38.0)
    assert all(step.load.jobs_per_s == step.load.nodes for step in result.steps)
    assert "Knee: 37 nodes is met, 38 nodes is not." in printed(result)
    most = searched(told, order, most_nodes=25)
    assert (most.knee.under, most.limit) == (25.0, "highest")


def test_a_void_step_counts_neither_way_and_a_narrow_terminal_cuts_nothing_off() -> None:
    tried: list[float] = []

    def answer(step: Plan) -> LoadOutcome:
        tried.append(rate_of(step))
        return told(step, met=rate_of(step) <= 100, verdict=Verdict.VOID if len(tried) == 1 else None)

    result = searched(answer)
    assert tried[:2] == [tried[0]] * 2
    assert "1 of 1, 1 void" in printed(result)
    narrow = printed(result, width=40)
    assert "…" not in narrow
    assert "met 1 of 1, 1 void" in " ".join(narrow.split())


def test_the_search_for_nodes_goes_by_what_is_done_too() -> None:
    def answer(step: Plan) -> LoadOutcome:
        figures = Figures()
        figures.series.gauge("nodes.running", 0.0, height_of(step).nodes)
        outcome = told(step, done=min(rate_of(step), 40.0))
        return replace(outcome, figures=figures, stretch=Stretch(0, 1, "a second"))

    result = searched(answer, CapacityOrder(Find.NODES))
    # 95 % done is enough: 42 nodes bring 42 jobs a second.
    assert (result.knee.under, result.knee.over) == (42.0, 43.0)
    # A failure that is explained so is not made again.
    failed = [step.load.nodes for step in result.steps if not step.outcome.is_met]
    assert len(failed) == len(set(failed))


def test_a_queue_that_grows_is_no_success_whatever_the_thresholds_say() -> None:
    result = searched(lambda step: told(step, done=min(rate_of(step), 60.0)))
    assert result.knee.under is not None
    assert result.knee.under <= 60 / 0.94
    assert "the queue grows" in printed(result)


def test_where_the_generator_gives_way_the_gateway_is_not_accused() -> None:
    result = searched(lambda step: told(step, verdict=Verdict.VOID if rate_of(step) > 70 else None))
    assert result.limit == "generator"
    assert exit_code(result) is ExitCode.OK
    text = printed(result, width=60)
    assert "At least" in text
    assert "generator is the bottleneck" in " ".join(text.split())
    assert "the event loop was late" in text


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        (lambda step: told(step, met=False), ExitCode.THRESHOLDS, "Not even 5/s is met."),
        (lambda step: told(step, verdict=Verdict.VOID), ExitCode.VOID, "Void: even at 5/s"),
        (
            lambda step: told(step, verdict=Verdict.BROKEN, found=Kind.DOUBLE_CREDITED),
            ExitCode.AUDIT,
            "3 jobs double_credited",
        ),
        (
            lambda step: told(step, met=False, verdict=Verdict.BROKEN, found=Kind.STUCK),
            ExitCode.AUDIT,
            "jobs of the last step are still open",
        ),
        (lambda step: Ran(told(step), is_stopped=True), ExitCode.STOPPED, "The search ended early: it was stopped."),
        (lambda _: Ran(None), ExitCode.INTERRUPTED, "Nothing is known yet."),
    ],
    ids=["not met", "void", "broken", "stuck", "stopped", "aborted"],
)
def test_without_a_load_that_is_met_the_exit_code_says_why(answer: Answer, code: ExitCode, sentence: str) -> None:
    result = searched(answer, CapacityOrder(lowest=5.0))
    assert result.knee.under is None
    assert exit_code(result) is code
    assert sentence in printed(result)


def test_a_stopped_search_tells_what_is_known() -> None:
    def answer(step: Plan) -> Ran:
        return Ran(told(step, met=rate_of(step) <= 30), is_stopped=rate_of(step) == 30.0)

    result = searched(answer)
    assert result.is_stopped
    assert (result.knee.under, result.knee.over) == (20.0, 40.0)
    assert exit_code(result) is ExitCode.STOPPED
    assert "Between 20/s, which is met, and 40/s, which is not." in printed(result)


def test_the_highest_load_may_be_met() -> None:
    result = searched(told, CapacityOrder(lowest=5.0, highest=20.0))
    assert (result.knee.under, result.knee.over, result.limit) == (20.0, None, "highest")
    assert exit_code(result) is ExitCode.OK
    assert "At least 20/s: the highest that was asked for is met." in printed(result)


@pytest.mark.parametrize(
    ("changes", "order", "problem"),
    [
        ({"arrivals": ""}, CapacityOrder(), "no jobs that arrive steadily"),
        ({"nodes": '[[nodes.stages]]\nkind = "storm"\nto = 0'}, CapacityOrder(Find.NODES), "no nodes"),
        ({}, CapacityOrder(lowest=50.0, highest=20.0), "below the lowest load"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes: dict[str, object], order: CapacityOrder, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        CapacitySearch(plan(**changes), order, Seen()).search()


def test_steps_are_lines_fit_for_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    lines = StepLines(Console(highlight=False, width=40), Find.JOBS)
    lines.say("Asking the gateway what it has …")
    result = searched(lambda step: told(step, met=rate_of(step) <= 30))
    for step in result.steps:
        lines.begin_step(step.number, step.load)
        lines.end_step(step)
    lines.leave()
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(result.steps) + 1
    assert out[0].split() == ["step", "load", "nodes", "offered", "accepted", "p99", "job", "verdict"]
    assert "\x1b" not in "".join(out)
    assert re.match(r"\s+1\s+10/s\s+10\s+10/s", out[1])


@in_virtual_time
async def test_on_a_terminal_the_step_under_way_is_shown() -> None:
    console = Console(highlight=False, width=80, force_terminal=True, file=io.StringIO())
    lines = StepLines(console, Find.JOBS)
    lines.begin_step(1, Load(10.0, 10))
    async with world(plan_text()) as it:
        watched = SteeredRun(it.run, "http://gateway.test", EventBus())
        await lines.begin(watched)
        await it.outcome()
    lines.leave()
    lines.leave()
    assert isinstance(console.file, io.StringIO)
    assert "step 1: 10/s with 10 nodes, 12s of 12s, over: 100 submitted, 100 accepted" in console.file.getvalue()


def test_a_gateway_that_goes_ends_the_search_with_what_is_known() -> None:
    def answer(step: Plan) -> LoadOutcome:
        if rate_of(step) > 30:
            raise ConnectFailed("nobody there")
        return told(step)

    result = searched(answer)
    assert result.knee.under == 20.0
    assert exit_code(result) is ExitCode.THRESHOLDS
    assert "the gateway does not answer any more: nobody there" in printed(result)
    with pytest.raises(ConnectFailed):
        searched(answer, CapacityOrder(lowest=50.0))


def test_a_search_that_never_ends_is_ended() -> None:
    """A gateway of moods: whatever a load was found to be, it is the opposite the next time."""
    tries: dict[float, int] = {}

    def answer(step: Plan) -> LoadOutcome:
        rate = rate_of(step)
        tries[rate] = tries.get(rate, 0) + 1
        return told(step, met=rate <= 20 or (rate < 40 and tries[rate] % 2 == 1))

    result = searched(answer, CapacityOrder(precision=0.001))
    assert result.knee.is_found or "no more than 30 steps" in printed(result)


REAL = """
name = "real"
duration = "10s"
thresholds = ["accepted_rate >= 0.98 * offered", "p95.queued < 1s", "jobs.lost == 0"]
[nodes]
poll_cycle = "500ms"
[[nodes.stages]]
kind = "storm"
to = 80
[[jobs.arrivals]]
kind = "constant"
rate = "100/s"
[engine]
output_tokens = 10
tokens_per_s = 200
[sandbox]
lease = "20s"
"""


def written(folder: Path) -> str:
    path = folder / "plan.toml"
    path.write_text(REAL)
    return str(path)


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_search_as_a_person_runs_it(tmp_path: Path) -> None:
    document = tmp_path / "capacity.json"
    options = ["--to", "25/s", "--from", "25", "--step-time", "3s", "--json", str(document)]
    done = run("loadtest", "capacity", written(tmp_path), *options, cwd=tmp_path, timeout_s=100)
    found = json.loads(document.read_text())
    if done.returncode == ExitCode.VOID:
        assert found["knee"]["met"] is None
        assert "Void: even at 25/s" in done.stdout
        return
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert found["knee"]["met"] == 25.0
    assert "At least 25/s: the highest that was asked for is met." in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_ctrl_c_ends_a_search_with_what_is_known(tmp_path: Path) -> None:
    command = ("loadtest", "capacity", written(tmp_path), "--step-time", "30s")
    with running(*command, log=tmp_path / "log", cwd=tmp_path) as program:
        program.says("verdict")
        program.signal(signal.SIGINT)
        assert program.wait(40) == ExitCode.STOPPED
    assert "Nothing is known yet." in program.output


@pytest.mark.timeout(60)
def test_ctrl_c_between_two_steps_ends_a_search_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(StepLines, "begin_step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    order = LoadTestOrder(Path(written(tmp_path)), None, Secret(""))
    options = CapacityOptions(order, CapacityOrder(step_s=30.0), None, {}, None, None, None)
    assert run_capacity(options) == ExitCode.STOPPED
    assert "Nothing is known yet." in capsys.readouterr().out


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_four_hundred_a_second_are_found_for_real(tmp_path: Path) -> None:
    """On a machine that is too busy the search may, and must, say that the generator was the bottleneck instead."""
    document = tmp_path / "capacity.json"
    options = ["--sandbox-rate", "400/s", "--from", "150/s", "--step-time", "8s", "--precision", "3%"]
    done = run(
        "loadtest", "capacity", written(tmp_path), *options, "--json", str(document), cwd=tmp_path, timeout_s=380
    )
    knee = json.loads(document.read_text())["knee"]
    if done.returncode == ExitCode.VOID or knee["limit"] == "generator":
        assert "generator" in done.stdout
        return
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert knee["met"] < inf
    assert 380 <= knee["met"] <= 420
    assert knee["limit"] == "gateway"
