"""A plan times a factor."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.loadtest.plan.scaling import with_jobs, with_nodes
from node.loadtest.plan.scenario import Scenario, Schedule
from node.loadtest.plan.trace import TraceJob
from tests.unit.loadtest.plan.plans import schedule

FILE = Path("t.jsonl")
TRACE = {FILE: (TraceJob(0.0, "m"), TraceJob(40.0, "m"))}
ARRIVALS = [
    {"kind": "constant", "rate": 4, "for": "10s"},
    {"kind": "poisson", "rate": 6, "at": "5s", "for": "10s"},
    {"kind": "ramp", "from": 2, "to": 10, "at": "5s", "for": "5s"},
    {"kind": "burst", "count": 3, "at": "20s"},
    {"kind": "burst", "count": 10, "over": "5s", "at": "30s"},
    {"kind": "replay", "file": "t.jsonl"},
]


def test_jobs_times_a_factor() -> None:
    plan = schedule(traces=TRACE, jobs={"arrivals": ARRIVALS}).plan
    once, twice = (Schedule(Scenario(with_jobs(plan, factor), TRACE)).jobs for factor in (1.0, 2.0))
    assert with_jobs(plan, 1.0) == plan
    assert twice.expected(0, 60) - 2 == 2 * (once.expected(0, 60) - 2)
    assert (once.peak_per_s, twice.peak_per_s) == pytest.approx((20, 40))
    assert [moment.count for moment in twice.moments] == [6]
    assert twice.expected(19.9, 20.1) - once.expected(19.9, 20.1) == 4
    tiny = Schedule(Scenario(with_jobs(plan, 0.01), TRACE)).jobs
    assert [moment.count for moment in tiny.moments] == [1]


def test_no_jobs_are_no_rate() -> None:
    assert schedule().jobs.peak_per_s == 0


def test_nodes_times_a_factor() -> None:
    stages = [
        {"kind": "ramp", "to": 10, "over": "5s"},
        {"kind": "hold", "for": "5s"},
        {"kind": "spike", "to": 30, "for": "5s"},
        {"kind": "storm", "to": 1},
        {"kind": "hold", "for": "5s"},
        {"kind": "storm", "to": 0},
    ]
    plan = schedule(nodes={"stages": stages}).plan
    assert with_nodes(plan, 1.0) == plan
    for factor, levels in ((1.5, [15, 45, 2, 0]), (0.1, [1, 3, 1, 0])):
        scaled = Schedule(Scenario(with_nodes(plan, factor)))
        assert [scaled.target(at_s) for at_s in (5, 10, 15, 30)] == levels
