"""Who is befallen by faults, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.loadtest.plan.scenario import Schedule, Shard
from tests.unit.loadtest.plan.plans import schedule

NODES = {"stages": [{"kind": "storm", "to": 40}]}


def of(
    *faults: dict[str, Any], shard: Shard | None = None, nodes: dict[str, Any] | None = None, seed: int = 1
) -> Schedule:
    return schedule(shard, faults=list(faults), nodes=nodes or NODES, seed=seed)


def kill(at_s: float, **more: Any) -> dict[str, Any]:
    return {"kind": "kill", "at_s": at_s, **more}


def test_faults_come_in_the_order_of_their_times_with_their_ends() -> None:
    plan = of(
        {"kind": "unreachable", "at": "30s", "for": "15s"},
        {"kind": "expire-tokens", "at": "20s"},
        kill(10.0, share="10%", restart_after="5s"),
        kill(12.0, count=1),
        {"kind": "slow", "at": "5s", "for": "5s", "share": "50%", "factor": 3},
        {"kind": "silent", "at": "50s", "for": "1s", "count": 2},
        {"kind": "answer-twice", "at": "51s", "for": "1s", "count": 2},
        {"kind": "garbage", "at": "52s", "for": "1s", "count": 2},
    )
    assert [(event.fault.kind, event.at_s, event.until_s, len(event.nodes)) for event in plan.faults] == [
        ("slow", 5, 10, 20),
        ("kill", 10, 15, 4),
        ("kill", 12, None, 1),
        ("expire-tokens", 20, 20, 0),
        ("unreachable", 30, 45, 0),
        ("silent", 50, 51, 2),
        ("answer-twice", 51, 52, 2),
        ("garbage", 52, 53, 2),
    ]
    assert [str(event.fault) for event in plan.faults] == [
        "50% slow ×3 for 5s",
        "kill 10%, back after 5s",
        "kill 1 node",
        "all tokens expire (sandbox)",
        "gateway unreachable for 15s",
        "2 nodes never answer for 1s",
        "2 nodes answer twice for 1s",
        "2 nodes send garbage for 1s",
    ]


@settings(max_examples=40)
@given(st.floats(0.001, 1), st.integers(0, 100), st.integers(1, 5))
def test_as_many_are_befallen_as_the_fault_says_over_all_shards(share: float, seed: int, count: int) -> None:
    (event,) = of(kill(1.0, share=share), seed=seed).faults
    assert len(event.nodes) == min(40, max(1, round(40 * share)))
    assert set(event.nodes) <= set(range(40))
    parts = [of(kill(1.0, share=share), seed=seed, shard=Shard(index, count)).faults[0].nodes for index in range(count)]
    assert sorted(node for part in parts for node in part) == list(event.nodes)


def test_the_dead_are_not_killed_again_until_they_are_back() -> None:
    first, second, third = of(kill(1.0, count=30, restart_after="5s"), kill(2.0, count=30), kill(6.0, count=40)).faults
    assert len(second.nodes) == 10
    assert not set(first.nodes) & set(second.nodes)
    assert set(third.nodes) == set(first.nodes)


def test_a_node_that_was_stopped_meanwhile_lives_again() -> None:
    nodes = {
        "stages": [
            {"kind": "storm", "to": 40},
            {"kind": "hold", "for": "5s"},
            {"kind": "spike", "to": 0, "for": "5s"},
        ]
    }
    first, second = of(kill(1.0, share=1.0), kill(20.0, share=1.0), nodes=nodes).faults
    assert first.nodes == second.nodes == tuple(range(40))


def test_another_fault_or_seed_befalls_others() -> None:
    first, second = of(*(kill(at_s, count=10, restart_after="1s") for at_s in (1.0, 10.0))).faults
    (other,) = of(kill(1.0, count=10), seed=2).faults
    assert len({first.nodes, second.nodes, other.nodes}) == 3


def test_there_is_no_shard_beyond_the_last() -> None:
    for index, count in ((1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="no part"):
            Shard(index, count)
