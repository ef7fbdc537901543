"""What every plan means to hold: something happened."""

from __future__ import annotations

import pytest

from node.loadtest.driver.idleness import unmet_premises
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.plan.model import Plan


def premises(counts: dict[str, int], *thresholds: str, has_nodes: bool = True) -> list[str]:
    figures = Figures()
    figures.counts.update(counts)
    nodes = {"stages": [{"kind": "storm", "to": 1}]}
    plan = Plan.model_validate({"name": "x", "duration": "6s", "nodes": nodes, "thresholds": list(thresholds)})
    return [str(one) for one in unmet_premises(plan, figures, has_nodes=has_nodes)]


JOB, DROPPED, POLL = "jobs.submitted > 0", "jobs.dropped == 0", "poll_rate > 0/s"


@pytest.mark.parametrize(
    ("counts", "has_nodes", "found"),
    [
        ({Count.OFFERED: 9}, True, [JOB, POLL]),
        ({Count.OFFERED: 9}, False, [JOB]),
        ({Count.OFFERED: 9, Count.SUBMITTED: 1, Measure.EMPTY_POLL: 1}, True, []),
        ({Count.OFFERED: 9, Count.SUBMITTED: 1, Count.DROPPED: 1, Measure.POLL: 1}, True, [DROPPED]),
        ({Measure.POLL: 1}, True, []),
        ({}, False, []),
    ],
)
def test_jobs_that_were_due_and_nodes_that_were_started_must_have_come_to_something(
    counts: dict[str, int], has_nodes: bool, found: list[str]
) -> None:
    assert premises(counts, has_nodes=has_nodes) == found


def test_what_the_plan_asks_itself_is_not_asked_twice() -> None:
    assert premises({Count.OFFERED: 9}, JOB, has_nodes=False) == []


def test_how_many_jobs_may_be_dropped_is_the_plans_to_say() -> None:
    counts: dict[str, int] = {Count.OFFERED: 9, Count.SUBMITTED: 5, Count.DROPPED: 4}
    assert premises(counts, "jobs.dropped < 0.5 * jobs.submitted", has_nodes=False) == []
