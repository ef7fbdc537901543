"""A gateway that comes back is not run over by its fleet. The whole matrix: ``python -m tests.integration.fleet.stampede``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.fleet.stampede import Case, hasty_results, measure, no_turnstile
from tests.support.fleet import Plan

pytestmark = [pytest.mark.timeout(180), pytest.mark.proof]


def test_a_thousand_nodes_come_back_to_a_gateway_that_has_forgotten_them() -> None:
    figures = measure(Case(outage_s=10, keeps_state=False, job_s=15, steady_s=30))
    assert figures.waiting > 50
    assert figures.violations == []


def test_nodes_held_at_the_auth_gate_are_let_go_one_after_the_other() -> None:
    figures = measure(
        Case(outage_s=60, keeps_state=False, auth_outage_s=30, nodes=300, jobs_per_s=3, job_s=15, steady_s=30)
    )
    assert figures.lives["starting"] > 200
    assert figures.violations == []


@pytest.mark.parametrize("plant", [no_turnstile, hasty_results])
def test_a_planted_stampede_is_seen(plant: Callable[[Plan], Plan]) -> None:
    """Plant: nodes that all come back at once, and results that are tried again in haste."""
    figures = measure(Case(outage_s=20, keeps_state=False, nodes=150, jobs_per_s=4, job_s=15, steady_s=30), plant)
    assert figures.ratio > 2.5
