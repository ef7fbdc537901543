"""How many nodes there are when."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from node.loadtest.plan.population import Order
from node.loadtest.plan.scenario import Schedule, Shard
from tests.unit.loadtest.plan.plans import schedule

DURATION_S = 60.0

levels = st.integers(0, 60)
times = st.floats(0.1, 7).map(lambda value: round(value, 2))
stages = st.lists(
    st.fixed_dictionaries({"kind": st.just("ramp"), "to": levels, "over_s": times})
    | st.fixed_dictionaries({"kind": st.just("hold"), "for_s": times})
    | st.fixed_dictionaries({"kind": st.just("spike"), "to": levels, "for_s": times})
    | st.fixed_dictionaries({"kind": st.just("storm"), "to": levels}),
    min_size=1,
    max_size=8,
)


def of(stages: list[dict[str, Any]], shard: Shard | None = None) -> Schedule:
    return schedule(shard, nodes={"stages": stages})


@given(stages, st.floats(0, DURATION_S))
def test_orders_lead_to_the_target_at_every_time(stages: list[dict[str, Any]], at_s: float) -> None:
    plan = of(stages)
    orders = list(plan.orders())
    assert [order.at_s for order in orders] == sorted(order.at_s for order in orders)
    assert all(0 <= order.at_s <= DURATION_S for order in orders)
    if all(abs(order.at_s - at_s) > 1e-6 for order in orders):
        running: Counter[int] = Counter()
        for order in orders:
            if order.at_s <= at_s:
                running[order.node] += 1 if order.order is Order.START else -1
                assert running[order.node] in {0, 1}
        assert {node for node, runs in running.items() if runs} == set(range(plan.target(at_s)))


@settings(max_examples=30)
@given(stages, st.integers(1, 5), st.floats(0, DURATION_S))
def test_shards_share_the_nodes_among_them(stages: list[dict[str, Any]], count: int, at_s: float) -> None:
    parts = [of(stages, Shard(index, count)) for index in range(count)]
    whole = of(stages)
    assert sum(part.target(at_s) for part in parts) == whole.target(at_s)
    assert sorted(order for part in parts for order in part.orders()) == sorted(whole.orders())


def test_every_kind_of_stage() -> None:
    plan = of(
        [
            {"kind": "ramp", "to": 10, "over": "10s"},
            {"kind": "hold", "for": "5s"},
            {"kind": "storm", "to": 100},
            {"kind": "hold", "for": "5s"},
            {"kind": "spike", "to": 40, "for": "5s"},
            {"kind": "ramp", "to": 0, "over": "10s"},
        ]
    )
    seen = [plan.target(at_s) for at_s in (0, 5, 10, 14.9, 15, 19.9, 20, 24.9, 25, 30, 35, 60)]
    assert seen == [0, 5, 10, 10, 100, 100, 40, 40, 100, 50, 0, 0]
    assert plan.population.peak == 100
    assert (plan.population.lowest(0, 60), plan.population.lowest(16, 24), plan.population.lowest(26, 30)) == (
        0,
        40,
        50,
    )
    orders = list(plan.orders())
    assert [(order.at_s, order.order) for order in orders[:2]] == [(0.5, Order.START), (1.5, Order.START)]
    storm = [order.node for order in orders if order.at_s == 15]
    assert storm == list(range(10, 100))
    assert [order.node for order in orders if order.at_s == 20] == list(range(99, 39, -1))


def test_a_schedule_begins_anew_each_time() -> None:
    plan = of([{"kind": "ramp", "to": 5, "over": "1s"}])
    assert list(plan.orders()) == list(plan.orders()) != []
