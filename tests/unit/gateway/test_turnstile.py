"""How nodes come back to their gateway: one after the other, and who waits for it."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from node.domain.errors import StepFault
from node.domain.events import StepEnded
from node.domain.ids import NodeId
from node.gateway.turnstile import Turnstile
from node.protocol.routes import Step
from tests.support.virtual_time import in_virtual_time
from tests.unit.gateway.bench import SPEC, Bench
from tests.unit.gateway.scripted_gateway import said

CHANCE = random.Random(5)
NODES = [NodeId(f"n{number}") for number in range(1000)]


def started(gap_s: float, nodes: list[NodeId] = NODES) -> Turnstile:
    """A turnstile that all nodes have been through."""
    turnstile = Turnstile(gap_s)
    assert {turnstile.wait_s(node, 0, CHANCE) for node in nodes} == {0}, "the first start is not held up"
    return turnstile


def test_nodes_that_come_at_once_are_spread_in_their_order() -> None:
    turnstile = started(0.04)
    waits = [turnstile.wait_s(node, 1000.0, CHANCE) for node in NODES]
    assert waits[0] == 0
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert all(0.02 <= gap <= 0.06 + 1e-9 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.03, "with jitter"
    assert waits[-1] == pytest.approx(40, rel=0.1)


def test_a_node_that_comes_alone_is_not_held_up() -> None:
    turnstile = started(2.0)
    assert [turnstile.wait_s(NODES[0], now, CHANCE) for now in (10.0, 20.0, 30.0)] == [0, 0, 0]
    assert 0 < turnstile.wait_s(NODES[1], 30.0, CHANCE) <= 3


def test_without_a_gap_nobody_waits() -> None:
    turnstile = started(0.0)
    assert {turnstile.wait_s(node, 5.0, CHANCE) for node in NODES} == {0}


def queued_bench(gap_s: float) -> Bench:
    """A client that has started before, and comes right after another one."""
    turnstile = started(gap_s, [SPEC.node_id, NODES[1]])
    bench = Bench(turnstile=turnstile)
    turnstile.wait_s(NODES[1], bench.clock.monotonic(), CHANCE)
    return bench


def test_nodes_with_results_go_first() -> None:
    hurried = set(NODES[1::2])
    turnstile = Turnstile(0.5, hurried.__contains__)
    assert {turnstile.wait_s(node, 0, CHANCE) for node in NODES} == {0}
    waits = {node: turnstile.wait_s(node, 1000.0, CHANCE) for node in NODES}
    assert max(waits[node] for node in hurried) == pytest.approx(500 * 0.15, rel=0.1)
    assert max(waits.values()) == pytest.approx(500 * (0.5 + 0.15), rel=0.1), "the others make way"
    first = sorted(waits[node] for node in hurried)
    assert all(0.075 <= later - earlier <= 0.225 + 1e-9 for earlier, later in pairwise(first))


def test_the_others_make_way_for_as_long_as_nodes_with_results_take() -> None:
    turnstile = Turnstile(0.5, set(NODES[1:]).__contains__)
    assert {turnstile.wait_s(node, 0, CHANCE) for node in NODES} == {0}
    last = max(turnstile.wait_s(node, 1000.0, CHANCE) for node in NODES[1:])
    assert turnstile.wait_s(NODES[0], 1000.0, CHANCE) == pytest.approx(last, abs=0.3)


def test_nodes_with_results_come_no_faster_than_a_whole_fleet_may() -> None:
    turnstile = Turnstile(0.04, lambda _: True)
    assert {turnstile.wait_s(node, 0, CHANCE) for node in NODES} == {0}
    waits = [turnstile.wait_s(node, 1000.0, CHANCE) for node in NODES]
    assert waits[-1] == pytest.approx(40, rel=0.1)


@in_virtual_time
async def test_a_node_that_starts_again_waits_for_its_turn() -> None:
    bench = queued_bench(gap_s=1000)
    began = bench.clock.monotonic()
    await bench.client.check_secret()
    assert 500 <= bench.clock.monotonic() - began <= 1501
    assert bench.events.of(StepEnded)[-1].took_s < 1, "that is not the step's time"


@in_virtual_time
async def test_each_attempt_at_a_start_waits_for_a_turn() -> None:
    bench = queued_bench(gap_s=1000)
    bench.gateway.fail(Step.CHECK_SECRET, *[said(503)] * 3)
    await bench.client.check_secret()
    times = bench.gateway.times(Step.CHECK_SECRET)
    assert len(times) == 4, "though the policy allows a step no more than a minute"
    assert all(500 <= later - earlier <= 1501 for earlier, later in pairwise(times))


@in_virtual_time
async def test_a_stop_ends_the_wait() -> None:
    bench = queued_bench(gap_s=1000)
    bench.gateway.fail(Step.CHECK_SECRET, said(503))
    asyncio.get_running_loop().call_later(3, bench.stop.set)
    began = bench.clock.monotonic()
    with pytest.raises(StepFault, match="stopping"):
        await bench.client.check_secret()
    assert bench.clock.monotonic() - began < 4


@in_virtual_time
async def test_a_denied_token_is_renewed_in_its_turn() -> None:
    bench = queued_bench(gap_s=30)
    await bench.join()
    bench.gateway.forget()
    began = bench.clock.monotonic()
    await bench.poll()
    assert 15 <= bench.clock.monotonic() - began <= 46
    assert bench.gateway.count(Step.REGISTER) == 2
    await bench.client.aclose()


@in_virtual_time
async def test_a_token_near_its_end_is_renewed_without_a_turn() -> None:
    """It has a margin, and those of a fleet do not end together."""
    bench = queued_bench(gap_s=1000)
    bench.gateway.life_s = 100
    await bench.join()
    await asyncio.sleep(81)
    assert bench.gateway.count(Step.REGISTER) == 2
    await bench.client.aclose()
