"""The scenarios that come with the program: they read, go together, and are shown."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from node.loadtest.plan.chart import area_chart, marks, time_axis
from node.loadtest.plan.phases import phases
from node.loadtest.plan.preview import Preview
from node.loadtest.plan.reading import read_scenario
from node.loadtest.plan.scenario import Scenario, Schedule
from node.loadtest.plan.trace import TraceJob
from tests.unit.loadtest.plan.plans import SCENARIOS, scenario, schedule

shipped = pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)


def shown(found: Scenario, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Preview(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_four_are_there() -> None:
    assert {path.stem for path in SCENARIOS.glob("*.toml")} == {"smoke", "capacity", "storm", "chaos"}


@shipped
def test_it_reads_without_a_warning_and_bears_its_name(path: Path) -> None:
    found = read_scenario(path)
    assert found.plan.name == path.stem
    assert found.plan.description
    assert found.plan.thresholds
    assert found.warnings == ()


@shipped
@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_it_is_shown_whole(path: Path, width: int) -> None:
    found = read_scenario(path)
    lines = shown(found, width).splitlines()
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "…" not in text
    folded = re.sub(r"\s+", " ", text)
    assert found.plan.description in folded
    for threshold in found.plan.thresholds:
        assert str(threshold) in folded
    for event in Schedule(found).faults:
        assert str(event.fault).split(" (")[0] in folded
    assert sum("▲" in line for line in lines) == bool(found.plan.faults)


def test_smoke_crashes_nodes_with_jobs_in_their_hands_in_under_a_minute() -> None:
    plan = read_scenario(SCENARIOS / "smoke.toml").plan
    assert plan.duration_s + plan.settling_s(on_sandbox=True) < 60
    assert plan.sandbox.lease_s < 10
    kills = [event for event in Schedule(Scenario(plan)).faults if event.fault.kind == "kill"]
    assert sum(len(event.nodes) for event in kills) >= 15
    judged = {name for threshold in plan.thresholds for name in threshold.names}
    assert {"jobs.lost", "jobs.duplicated", "jobs.double_credited", "jobs.orphaned", "jobs.stuck"} <= judged


def test_chaos_has_every_fault() -> None:
    kinds = {planned.kind for planned in read_scenario(SCENARIOS / "chaos.toml").plan.faults}
    assert kinds == {"kill", "expire-tokens", "slow", "silent", "answer-twice", "garbage", "unreachable"}


def test_a_preview_says_what_a_plan_comes_to() -> None:
    text = shown(
        scenario(
            "[[jobs.arrivals]]\nkind='constant'\nrate=2\n[[jobs.arrivals]]\nkind='burst'\ncount=30\nat='10s'\n"
            "[[faults]]\nkind='kill'\nat='30s'\nshare='50%'"
        ),
        80,
    )
    for part in (
        "about 150, 2.5/s on average",
        "30 jobs at once",
        "kill 50%",
        "10 at most, a poll every 5s",
        "10s – 30s",
    ):
        assert part in text


def test_a_preview_of_little_is_little() -> None:
    text = shown(scenario(head='engine = "real"\nwarm_up = "steady"'), 60)
    assert "the real one" in text
    assert "found by rule" in text
    assert "Jobs/s\n" not in text
    assert "It passes when" not in text


def test_a_trace_and_many_phases_are_shown() -> None:
    file = Path("t.jsonl")
    whole = schedule(
        traces={file: (TraceJob(0.0, "m"), TraceJob(5.0, "m"))},
        jobs={
            "arrivals": [
                {"kind": "replay", "file": "t.jsonl"},
                *({"kind": "burst", "count": 1, "at_s": at_s / 2} for at_s in range(1, 90)),
                {"kind": "constant", "rate": 1, "at_s": 50.0},
            ]
        },
    )
    text = shown(Scenario(whole.plan, {file: (TraceJob(0.0, "m"), TraceJob(55.0, "m"))}), 80)
    assert "~2/s of traces" in text.replace("~2 of", "~2/s of")
    assert "phases more" in text


def test_jobs_at_once_are_no_trace() -> None:
    (*_, phase) = phases(schedule(jobs={"arrivals": [{"kind": "burst", "count": 30, "at": "10s"}]}))
    assert (phase.from_s, phase.to_s, phase.nodes, phase.jobs_per_s, phase.other_per_s) == (10, 60, (10, 10), (0, 0), 0)
    assert phase.events == ("30 jobs at once",)


def test_a_spike_shorter_than_a_column_is_seen() -> None:
    spike = schedule(nodes={"stages": [{"kind": "hold", "for": "10.1s"}, {"kind": "spike", "to": 77, "for": "10ms"}]})
    assert "    77 │" in shown(Scenario(spike.plan), 60)


def test_a_chart_shows_what_is_small_and_what_is_highest() -> None:
    assert area_chart([0, 1, 50, 100], ("100", "0"), height=2) == ["   100 │   █", "     0 │ ▁██"]
    assert area_chart([], ("0", "0"), height=1) == ["     0 │"]
    assert marks([0, 59, 60], 60, 6) == "        ▲    ▲"
    assert time_axis(12, "0s", "5s", "10s") == "        0s   5s  10s"
