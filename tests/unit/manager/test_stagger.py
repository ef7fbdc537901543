"""When nodes start: a pure function of roster, policy and seed."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.policies import StaggerPolicy
from node.domain.secret import Secret
from node.manager.stagger import start_offsets


def roster(accounts: list[int]) -> list[NodeSpec]:
    return [
        NodeSpec(
            Identity(NodeId(f"n{index}"), Secret("s"), AccountId(f"a{account}"), "k"),
            Hardware(1024, 1, 0, "", "linux"),
            ("m",),
        )
        for index, account in enumerate(accounts)
    ]


POLICY = StaggerPolicy(min_s=1, max_s=500, spacing_s=5, jitter_s=1)


@given(st.lists(st.integers(0, 9), max_size=60), st.integers())
def test_offsets_depend_on_the_seed_alone_and_stay_in_bounds(accounts: list[int], seed: int) -> None:
    nodes = roster(accounts)
    offsets = start_offsets(nodes, POLICY, random.Random(seed))
    assert offsets == start_offsets(nodes, POLICY, random.Random(seed))
    assert list(offsets) == [spec.node_id for spec in nodes]
    seen: dict[str, int] = {}
    for spec in nodes:
        index = seen.get(spec.identity.account_id, 0)
        seen[spec.identity.account_id] = index + 1
        assert 1 + 5 * index <= offsets[spec.node_id] <= 500 + 5 * index + 1


def test_accounts_are_spread_over_the_whole_time() -> None:
    offsets = start_offsets(roster(list(range(5))), POLICY, random.Random(7))
    starts = sorted(offsets.values())
    assert starts[0] < 3
    assert starts[-1] > 499
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(120 < gap < 130 for gap in gaps)


def test_nodes_of_an_account_follow_each_other() -> None:
    offsets = list(start_offsets(roster([0, 0, 0]), POLICY, random.Random(7)).values())
    assert all(4 <= later - earlier <= 6 for earlier, later in itertools.pairwise(offsets))


def test_the_order_of_accounts_is_drawn() -> None:
    orders = set()
    for seed in range(20):
        offsets = start_offsets(roster(list(range(5))), POLICY, random.Random(seed))
        orders.add(tuple(sorted(offsets, key=lambda node: offsets[node])))
    assert len(orders) > 5
