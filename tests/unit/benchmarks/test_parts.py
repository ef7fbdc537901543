"""The measurements run, on a small scale, and their figures have sense."""

from __future__ import annotations

import os

import pytest

from benchmarks import idle_nodes, outbox, where
from benchmarks.alone import told_by
from benchmarks.figures import Spread, Unmeasurable
from benchmarks.synthetic_fleet import FleetPlan
from tests.unit.benchmarks.counted_gateway import CountedGateway

PLAN = FleetPlan(nodes=20, cycle_s=0.25, start_s=0.1)


async def test_idle_nodes_are_looked_at_cycle_by_cycle() -> None:
    async with CountedGateway(brings_jobs=False).serving() as gateway:
        seen = await idle_nodes.idle(gateway.url, PLAN, 2)
    assert len(seen.looks) == 2
    assert seen.registered.nodes == PLAN.nodes
    assert seen.polls_failed == 0
    look = seen.middle()
    assert 10 < look.polls_per_s < 1000
    assert 0 <= look.late_p50_ms <= look.late_p99_ms <= look.late_max_ms * 1.02
    assert look.cpu_us > 0


async def test_nodes_register_at_a_sandbox_on_another_core() -> None:
    registered = await idle_nodes.at_sandbox(PLAN, max(os.sched_getaffinity(0)))
    assert registered.nodes == PLAN.nodes
    assert 0 < registered.took_s < 20


def test_results_go_through_the_outbox() -> None:
    found = outbox.measured(60, 1)
    assert set(found) == {kind.name for kind in outbox.kinds()}
    assert all(isinstance(spread, Spread) and spread.median > 0 for spread in found.values())


def test_a_measurement_that_fails_says_why() -> None:
    with pytest.raises(Unmeasurable, match=r"sandbox_polls failed: .*invalid int value"):
        told_by("sandbox_polls", "--rounds", "many", within_s=20)


def test_time_is_divided_by_the_folder_of_the_code_and_libraries_count_for_their_callers() -> None:
    loop, session = ("/x/node/worker/session_loop.py", 1, "run"), ("/x/node/gateway/session.py", 1, "call")
    fast, library = ("/x/node/gateway/fast/pool.py", 1, "take"), ("/lib/json.py", 1, "loads")
    divided = where.by_part(
        {
            loop: (1, 1, 3.0, 9.0, {}),
            session: (1, 1, 2.0, 6.0, {loop: (1, 1, 2.0, 6.0)}),
            fast: (1, 1, 7.0, 7.0, {session: (1, 1, 7.0, 7.0)}),
            library: (2, 2, 1.5, 1.5, {session: (1, 1, 0.5, 0.5), fast: (1, 1, 1.0, 1.0)}),
        }
    )
    assert divided == {"worker": 3.0, "gateway": 2.5}
