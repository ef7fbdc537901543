from __future__ import annotations

import asyncio
import random

import pytest

from node.sandbox.limits import SLACK_S, Limits
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.sandbox.building import JOB, Client, a_gateway, a_sandbox, enter, join, submit


def test_without_a_rate_all_is_allowed() -> None:
    limits = Limits()
    assert all(limits.take(0) for _ in range(1000))


@pytest.mark.parametrize("polls_per_s", [450, 1000, 20_000])
def test_a_rate_is_kept_to_and_reached_whatever_the_polls(polls_per_s: int) -> None:
    limits, chance = Limits(400), random.Random(1)
    now, times = 0.0, []
    while now < 30:
        now += chance.expovariate(polls_per_s)
        if limits.take(now):
            times.append(now)
    assert len(times) / 30 == pytest.approx(400, rel=0.01)
    for first, last in zip(times, times[200:], strict=False):
        assert 400 * (last - first + SLACK_S) + 1 + 1e-6 >= 201


def test_what_was_not_used_is_given_back() -> None:
    limits = Limits(10)
    for _ in range(1000):
        assert limits.take(1)
        limits.give_back()
    assert limits.take(1)


def test_no_burst_is_saved_up() -> None:
    limits = Limits(100)
    assert sum(limits.take(1000) for _ in range(200)) == 11


def test_a_rate_of_0_hands_out_nothing() -> None:
    assert not Limits(0).take(1000)


@in_virtual_time
async def test_jobs_are_handed_out_at_the_rate() -> None:
    async with a_gateway(SandboxPolicy(rate_per_s=50, active_s=1e6)) as gateway:
        node = await join(gateway, "a")
        for _ in range(1000):
            await submit(gateway)
        claimed = 0
        for _ in range(1000):
            await asyncio.sleep(0.01)
            while await gateway.claim(node) is not None:
                claimed += 1
        assert claimed == pytest.approx(500, abs=8)
        gateway.limits.rate_per_s = None
        while await gateway.claim(node) is not None:
            claimed += 1
        assert claimed == 1000


@in_virtual_time
async def test_polls_that_find_no_job_take_nothing_from_the_rate() -> None:
    async with a_gateway(SandboxPolicy(rate_per_s=1)) as gateway:
        node = await join(gateway, "a")
        assert [await gateway.claim(node) for _ in range(100)] == [None] * 100
        job = await submit(gateway)
        assert await gateway.claim(node) is job


@in_virtual_time
async def test_limits_are_switched_from_outside() -> None:
    async def took_s(client: Client, path: str) -> float:
        before = VirtualClock().monotonic()
        assert (await client.get(path)).status == 200
        return VirtualClock().monotonic() - before

    async with a_sandbox(SandboxPolicy(latency_s=0.25)) as (_, client):
        node, control = await enter(client, "a"), client.with_control()
        assert await took_s(node, "/worker/get_job") == pytest.approx(0.25)
        assert await took_s(control, "/sandbox/limits") == 0
        assert (await control.get("/sandbox/limits")).json == {"rate_per_s": None, "latency_s": 0.25}
        assert (await control.post("/sandbox/limits", {"rate_per_s": 0})).json == {"rate_per_s": 0, "latency_s": 0}
        assert await took_s(node, "/worker/get_job") == 0
        await client.with_key().post("/submit_job", JOB)
        assert (await node.get("/worker/get_job")).json == {"job_data": None}
        assert (await control.post("/sandbox/limits", {"latency_s": 1})).json["rate_per_s"] is None
        assert (await node.get("/worker/get_job")).json["job_data"] is not None
        for bad in ({"rate_per_s": -1}, {"latency_s": None}, {"rate": 1}, {"latency_s": "x"}):
            assert (await control.post("/sandbox/limits", bad)).status == 422


@in_virtual_time
async def test_an_added_latency_does_not_hold_up_the_end() -> None:
    async with a_sandbox(SandboxPolicy(latency_s=1000)) as (running, client):
        request = asyncio.create_task(client.get("/worker/ping"))
        await asyncio.sleep(1)
        running.quiesce()
        assert (await request).status == 200


def test_limits_are_not_negative() -> None:
    for wrong in ({"rate_per_s": -1.0}, {"latency_s": -1.0}, {"keep_rows": -1}):
        with pytest.raises(ValueError, match="not negative"):
            SandboxPolicy(**wrong)
