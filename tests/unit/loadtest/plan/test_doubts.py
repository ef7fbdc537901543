"""What is doubtful in a plan is said, and keeps nobody from running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from node.loadtest.plan.trace import TraceJob
from tests.unit.loadtest.plan.plans import LEAST, scenario

STEADY = "[[jobs.arrivals]]\nkind='poisson'\nrate={}\n"


@pytest.mark.parametrize(
    ("tables", "column", "problem"),
    [
        ("[[nodes.stages]]\nkind='storm'\nto=60000", "nodes.stages", "60000 nodes are more"),
        ("[engine]\ntokens_per_s=0\n" + STEADY.format(10_000), "nodes", "requests are more than one process makes"),
        (STEADY.format(20), "jobs", "10 slots do about 5/s: the queue will grow"),
        ("[engine]\ntokens_per_s=0.1\n" + STEADY.format(1), "engine", "a job takes about 16m40s"),
        (
            "[[nodes.stages]]\nkind='storm'\nto=0\n[[faults]]\nkind='kill'\nat='1s'\ncount=1",
            "faults[1]",
            "no node runs",
        ),
        ("[[faults]]\nkind='kill'\nat='1s'\ncount=11", "faults[1].count", "11 nodes are more than run then (10)"),
        (
            "[[faults]]\nkind='kill'\nat='50s'\ncount=1\nrestart_after='11s'",
            "faults[1].restart_after",
            "after the plan's end",
        ),
        ("[sandbox]\nlease='5s'\n[[faults]]\nkind='unreachable'\nat='1s'\nfor='6s'", "faults", "longer than a lease"),
    ],
)
def test_a_doubt_has_its_place(tables: str, column: str, problem: str) -> None:
    (warning,) = scenario(tables).warnings
    assert (warning.place, warning.column) == ("plan.toml", column)
    assert problem in warning.problem
    assert warning.line is not None


def test_a_short_wait_for_what_comes_back_is_doubtful() -> None:
    kill = "[[faults]]\nkind='kill'\nat='1s'\ncount=1"
    (warning,) = scenario(kill, head='settle = "10s"').warnings
    assert warning.column == "settle"
    assert not scenario(kill).warnings
    assert not scenario("", head='settle = "10s"').warnings


def test_a_burst_is_no_steady_load_and_a_real_engine_is_not_judged() -> None:
    assert not scenario("[[jobs.arrivals]]\nkind='burst'\ncount=1000\nat='1s'").warnings
    assert not scenario(STEADY.format(1000), head='engine = "real"').warnings


def test_jobs_of_a_trace_that_come_too_late_are_counted() -> None:
    text = LEAST + "[[jobs.arrivals]]\nkind='replay'\nfile='t.jsonl'\nat='50s'\n"
    plan = Plan.model_validate({"name": "x", "duration": "60s", "nodes": {"stages": [{"kind": "storm", "to": 1}]}})
    model = plan.jobs.models[0].name
    (warning,) = scenario_of(
        text, "plan.toml", lambda _file: (tuple(TraceJob(at_s, model) for at_s in (1.0, 9.9, 10.0, 11.0)), ())
    ).warnings
    assert warning.problem.startswith("2 jobs of the trace")
    assert Path(warning.place) == Path("plan.toml")


def test_what_goes_with_the_sandbox_alone_is_said_apart() -> None:
    found = scenario("[[faults]]\nkind='expire-tokens'\nat='1s'", head='thresholds = ["max.redelivered < lease"]')
    assert found.warnings == ()
    assert [warning.column for warning in found.warnings_elsewhere] == ["thresholds[1]", "faults[1]"]
    assert not found.plan.needs_redelivery
    assert not scenario("[gateway]\nlease='300s'", head='thresholds = ["p50.poll < lease"]').warnings_elsewhere
