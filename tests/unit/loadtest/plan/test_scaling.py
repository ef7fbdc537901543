"""A plan held at one steady load."""

from __future__ import annotations

import pytest

from node.loadtest.plan.nodes import NodesPlan
from node.loadtest.plan.reading import read_scenario
from node.loadtest.plan.scaling import Height, Load, height_of, held_at, nodes_for, timing
from node.loadtest.plan.scenario import Scenario, Schedule
from tests.unit.loadtest.plan.plans import SCENARIOS, schedule

ARRIVALS = [
    {"kind": "constant", "rate": 4, "for": "10s"},
    {"kind": "poisson", "rate": 6, "at": "5s", "for": "10s"},
    {"kind": "ramp", "from": 2, "to": 10, "at": "5s", "for": "5s"},
    {"kind": "burst", "count": 300, "at": "20s"},
    {"kind": "burst", "count": 300, "over": "2s", "at": "30s"},
]


def test_the_height_is_where_most_arrives_for_a_while() -> None:
    height = height_of(schedule(jobs={"arrivals": ARRIVALS}).plan)
    assert height.nodes == 10
    assert height.jobs_per_s == pytest.approx(20)
    assert dict(height.shares) == {"even": pytest.approx(0.2), "poisson": pytest.approx(0.8)}


def test_the_shipped_plan_is_held_at_its_last_level() -> None:
    plan = read_scenario(SCENARIOS / "capacity.toml").plan
    assert height_of(plan) == Height(1000, 150.0, (("poisson", 1.0),))


def test_a_plan_without_steady_arrivals_has_no_rate() -> None:
    assert height_of(schedule(jobs={"arrivals": ARRIVALS[3:]}).plan) == Height(10, 0.0)
    assert height_of(schedule().plan) == Height(10, 0.0)


def test_a_plan_is_held_at_a_load() -> None:
    plan = schedule(
        jobs={"arrivals": ARRIVALS}, faults=[{"kind": "kill", "at": "5s", "share": "10%"}], engine={"output_tokens": 50}
    ).plan
    held = held_at(plan, Load(200.0, 300), judged_s=20.0, number=3)
    parts = timing(plan, 300, 20.0)
    run = Schedule(Scenario(held))
    assert held.faults == ()
    assert held.seed == plan.seed + 3
    assert held.duration_s == pytest.approx(parts.lead_s + parts.warm_s + 20.0)
    assert held.warm_up_s == pytest.approx(parts.lead_s + parts.warm_s)
    assert run.target(parts.lead_s) == run.population.peak == 300
    assert run.jobs.expected(0, parts.lead_s) == 0
    assert run.jobs.expected(parts.lead_s, held.duration_s) == pytest.approx(200 * (parts.warm_s + 20.0))
    assert run.jobs.peak_per_s == pytest.approx(200)


def test_without_jobs_there_are_only_nodes() -> None:
    held = held_at(schedule().plan, Load(0.0, 20), judged_s=10.0)
    assert held.jobs.arrivals == ()
    assert Schedule(Scenario(held)).population.peak == 20


def test_nodes_suffice_for_the_jobs() -> None:
    plan = schedule(engine={"output_tokens": 100, "tokens_per_s": 50}).plan
    assert plan.engine.kind == "synthetic"
    assert nodes_for(plan, 1.0) == 10
    assert nodes_for(plan, 100.0) == 300
    twice: NodesPlan = plan.nodes.model_copy(update={"slots": 2})
    assert nodes_for(plan.model_copy(update={"nodes": twice}), 100.0) == 150
    assert nodes_for(schedule(engine="real").plan, 1000.0) == 10
