"""A client's turn: who is measured makes the requests that it should, or has no figure."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter

import pytest

from benchmarks import node_loop
from benchmarks.figures import Unmeasurable
from benchmarks.static_gateway import POLL, RESULT
from benchmarks.synthetic_fleet import FleetPlan
from benchmarks.turns import Client, Shape, check_requests, cpu_s, take_turn
from tests.unit.benchmarks.counted_gateway import CountedGateway

SHAPE = Shape(0.1, 2, 0.7)
CORE = min(os.sched_getaffinity(0))


def peer(module: str, *arguments: str) -> Client:
    return Client([sys.executable, "-m", f"benchmarks.peers.{module}", "{url}", "2", *arguments])


@pytest.mark.parametrize(
    ("client", "jobs_percent"),
    [
        pytest.param(node_loop.client(FleetPlan(3)), 100, id="nodes with jobs"),
        pytest.param(node_loop.client(FleetPlan(3, 0.05)), 0, id="nodes without"),
        pytest.param(peer("httpx_loop", "own"), 100, id="httpx with jobs"),
        pytest.param(peer("transport_loop", "fast"), 0, id="the fast transport"),
        pytest.param(peer("transport_loop", "httpx"), 0, id="the stock transport"),
    ],
)
async def test_a_client_polls_and_answers_and_is_measured(client: Client, jobs_percent: float) -> None:
    async with CountedGateway(brings_jobs=jobs_percent > 0).serving() as gateway:
        turn = await asyncio.to_thread(take_turn, client, gateway, CORE, jobs_percent, SHAPE)
    assert len(turn.windows) == SHAPE.windows
    assert 1 < turn.cpu_us < 100_000
    assert turn.per_s > 1


async def test_a_client_whose_results_are_refused_has_no_figure() -> None:
    async with CountedGateway(brings_jobs=True, status=422).serving() as gateway:
        with pytest.raises(Unmeasurable, match="requests failed"):
            await asyncio.to_thread(take_turn, peer("httpx_loop", "own"), gateway, CORE, 100, SHAPE)


async def test_a_client_that_ends_says_its_last_words() -> None:
    client = Client([sys.executable, "-c", "raise SystemExit('no such option')"])
    async with CountedGateway(brings_jobs=False).serving() as gateway:
        with pytest.raises(Unmeasurable, match="did not start: no such option"):
            await asyncio.to_thread(take_turn, client, gateway, CORE, 0, SHAPE)


@pytest.mark.parametrize(
    ("jobs_percent", "polls", "results"), [(100, 1000, 1000), (100, 1000, 990), (20, 1000, 205), (0, 500, 0)]
)
def test_the_right_requests_are_taken(jobs_percent: float, polls: int, results: int) -> None:
    check_requests(
        Counter({f"GET {POLL} 200": polls, f"POST {RESULT} 200": results, "POST /node/check 200": 9}), jobs_percent
    )


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({f"GET {POLL} 200": 1000}, "other requests"),
        ({f"POST {RESULT} 200": 1000}, "no polls"),
        ({f"GET {POLL} 200": 500, f"POST {RESULT} 200": 499, f"POST {RESULT} 500": 1}, "failed"),
        ({}, "no polls"),
    ],
)
def test_other_requests_are_not(asked: dict[str, int], what: str) -> None:
    with pytest.raises(Unmeasurable, match=what):
        check_requests(Counter(asked), 100)


def test_cpu_time_of_a_process_grows_with_its_work() -> None:
    before = cpu_s(os.getpid())
    sum(number * number for number in range(1_000_000))
    assert cpu_s(os.getpid()) > before
    with pytest.raises(ProcessLookupError):
        cpu_s(2**22 + 1)
