"""A fleet at work for an hour, and longer: every job is answered once, whatever happens to sessions and gateways."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node.domain.events import (
    JobEnded,
    JobSkipped,
    LifeChanged,
    PollStarted,
    ResultAccepted,
    ResultBuried,
    SessionChanged,
)
from node.domain.policies import NodePolicy, Range
from node.domain.states import Life, LifeInput, Session
from node.executors.synthetic import SyntheticPolicy
from node.sandbox.policy import FaultRule, SandboxPolicy, WorkloadPolicy
from tests.support.fleet import MODELS, Plan, fleet, gateway, world
from tests.support.virtual_time import in_virtual_time

HOUR_S = 3600.0
pytestmark = pytest.mark.timeout(120)

QUICK_RECOVERY = NodePolicy(recovery=Range(20, 60))


@pytest.mark.proof
@in_virtual_time
async def test_an_hour_of_twenty_nodes() -> None:
    async with world(Plan()) as running:
        await asyncio.sleep(HOUR_S)
        await running.finish()
        totals = await running.host.sandbox.gateway.totals()
        assert totals.submitted == totals.accepted == totals.claims == totals.succeeded
        assert totals.submitted == pytest.approx(0.5 * HOUR_S, rel=0.1)
        assert (totals.lost, totals.duplicates_refused, totals.unknown_results) == (0, 0, 0)
        worked = {event.key.node for event in running.history.of(JobEnded)}
        assert worked == running.manager.nodes.keys(), "every node does its share"
        assert all(event.lateness_s < 1e-6 for event in running.history.of(PollStarted))
        assert set(running.lives().values()) == {"running"}
        assert await running.drain() < 1
    running.check()


@pytest.mark.proof
@in_virtual_time
async def test_two_slots_and_more_work_than_the_fleet_can_do() -> None:
    flood = WorkloadPolicy(other_models=MODELS[:1], rate_per_s=10, share_other=1, max_pending=10_000)
    plan = Plan(nodes=5, node=replace(QUICK_RECOVERY, slots=2), sandbox=SandboxPolicy(workload=flood))
    async with world(plan) as running:
        await asyncio.sleep(300)
        ended = len(running.history.of(JobEnded))
        # A job takes 1.25 s in the mean, and each of its two requests 0.055.
        assert ended == pytest.approx(300 / 1.305 * 10, rel=0.1)
        assert running.host.sandbox.gateway.pending > 300
        await running.finish()
        await running.drain()
    running.check()


@in_virtual_time
async def test_results_on_disk(tmp_path: Path) -> None:
    plan = Plan(nodes=5, outbox_file=tmp_path / "results.sqlite")
    async with world(plan) as running:
        await asyncio.sleep(600)
        await running.finish()
        totals = await running.host.sandbox.gateway.totals()
        assert totals.submitted == totals.accepted > 200
        await running.drain()
        running.check()


@in_virtual_time
async def test_a_gateway_that_comes_back_knowing_nothing() -> None:
    plan = Plan(node=QUICK_RECOVERY, speed=SyntheticPolicy(tokens_per_s=4))
    async with world(plan) as running:
        await asyncio.sleep(300)
        old = running.host.sandbox.gateway
        await running.host.restart(down_s=20)
        await running.all_are("running")
        new = running.host.sandbox.gateway
        await running.until(lambda: new.network().active_nodes == 20)
        await asyncio.sleep(300)
        await running.finish()
        await running.drain()
        before = await old.totals()
        after = await new.totals()
        assert after.submitted == after.accepted > 100
        # What was finished for the old gateway, and refused by the new one, is kept as a dead letter.
        dead = {letter.key.job for letter in running.outbox.dead()}
        answered = {row["job_id"] for row in old.job_rows(0, 10**6) if row["accepted"] is not None}
        claimed = {row["job_id"] for row in old.job_rows(0, 10**6) if row["claims"]}
        assert dead == claimed - answered
        assert len(dead) == before.claimed - before.accepted > 0
        assert {event.reason[:8] for event in running.history.of(ResultBuried)} == {"HTTP 404"}
        assert after.unknown_results == len(running.history.of(ResultBuried))
    running.check()


@in_virtual_time
async def test_a_gateway_that_comes_back_with_its_data(tmp_path: Path) -> None:
    plan = Plan(
        node=QUICK_RECOVERY, speed=SyntheticPolicy(tokens_per_s=4), nodes=10, sandbox=SandboxPolicy(data_dir=tmp_path)
    )
    async with world(plan) as running:
        for _ in range(3):
            await asyncio.sleep(200)
            await running.host.restart(down_s=20)
        await running.all_are("running")
        await running.finish()
        totals = await running.host.sandbox.gateway.totals()
        assert totals.submitted == totals.accepted > 150
        assert totals.lost == 0
        assert not list(running.outbox.dead())
        await running.drain()
        running.check()


@in_virtual_time
async def test_tokens_that_end_while_nodes_are_busy() -> None:
    plan = Plan(
        nodes=5,
        jobs_per_s=0.02,
        sandbox=SandboxPolicy(token_lifetime_s=60),
        speed=SyntheticPolicy(min_tokens=200, max_tokens=200, tokens_per_s=1),
    )
    async with world(plan) as running:
        await asyncio.sleep(HOUR_S)
        await running.finish()
        states = [event.state for event in running.history.of(SessionChanged)]
        assert Session.REJECTED not in states, "renewed before its end, also by a node that is full and does not poll"
        assert states.count(Session.EXPIRING) > 5 * 60
        assert not [event for event in running.history.of(LifeChanged) if event.input is LifeInput.SESSION_LOST]
        assert {event.attempts for event in running.history.of(ResultAccepted)} == {1}
        await running.drain()
    running.check()


@in_virtual_time
async def test_jobs_longer_than_their_lease_are_credited_once() -> None:
    plan = Plan(
        nodes=6,
        jobs_per_s=0.02,
        sandbox=SandboxPolicy(lease_s=60, prefer_other_s=300),
        speed=SyntheticPolicy(min_tokens=20, max_tokens=100, tokens_per_s=1),
    )
    async with world(plan) as running:
        await asyncio.sleep(HOUR_S)
        await running.finish()
        totals = await running.host.sandbox.gateway.totals()
        assert totals.submitted == totals.accepted
        assert totals.redelivered > 0
        assert totals.duplicates_refused > 0
        already = [event for event in running.history.of(ResultAccepted) if event.already]
        assert len(already) == totals.duplicates_refused
        await running.drain()
    running.check()


@in_virtual_time
async def test_a_node_that_is_given_its_own_jobs_again_runs_none_twice() -> None:
    """No other node is there, and every lease runs out: while the job runs, and while its result waits."""
    refusing = FaultRule("update_result", "status", status=503, probability=0.9)
    trickle = WorkloadPolicy(other_models=MODELS[:1], rate_per_s=0.05, share_other=1)
    plan = Plan(
        nodes=1,
        node=replace(QUICK_RECOVERY, slots=4),
        sandbox=SandboxPolicy(lease_s=40, faults=(refusing,), workload=trickle),
        speed=SyntheticPolicy(min_tokens=20, max_tokens=100, tokens_per_s=1),
    )
    async with world(plan) as running:
        await asyncio.sleep(HOUR_S)
        running.host.sandbox.faults.replace(())
        await running.finish()
        totals = await running.host.sandbox.gateway.totals()
        assert totals.submitted == totals.accepted
        reasons = {event.reason for event in running.history.of(JobSkipped)}
        assert reasons >= {"it is being worked on", "its result waits to be sent"}
        await running.drain()
    running.check()


# The end of a fleet.


LONG_JOBS = SyntheticPolicy(min_tokens=5, max_tokens=160, tokens_per_s=1)


@in_virtual_time
async def test_a_drain_in_the_midst_of_work_leaves_nothing_behind() -> None:
    async with world(Plan(speed=LONG_JOBS, jobs_per_s=0.3)) as running:
        await asyncio.sleep(600)
        assert sum(node.busy_slots for node in running.manager.nodes.values()) > 10
        assert 45 <= await running.drain() <= 60
        assert running.outbox.count() == 0
        totals = await running.host.sandbox.gateway.totals()
        assert (totals.leased, totals.lost) == (0, 0)
        failed = [event for event in running.history.of(JobEnded) if event.error]
        assert totals.failed == len(failed) > 0
        assert {event.error for event in failed} == {"the node is stopping"}
        assert running.host.sandbox.gateway.network().active_nodes == 0
    running.check()


@in_virtual_time
async def test_what_an_abort_leaves_is_sent_by_the_next_process(tmp_path: Path) -> None:
    plan = Plan(nodes=10, speed=LONG_JOBS, jobs_per_s=0.3, outbox_file=tmp_path / "results.sqlite")
    async with gateway(plan) as host:
        async with fleet(plan, host) as first:
            await asyncio.sleep(300)
            busy = sum(node.busy_slots for node in first.manager.nodes.values())
            assert await first.abort() <= 5
            left = first.outbox.count()
            assert left >= busy > 5
        async with fleet(plan, host, after=first) as second:
            assert second.outbox.count() == left
            await second.until(lambda: second.outbox.count() == 0)
            await second.finish()
            totals = await host.sandbox.gateway.totals()
            assert totals.submitted == totals.accepted
            assert totals.failed >= busy
            await second.drain()
            second.check()


@in_virtual_time
async def test_two_hundred_nodes_drain_within_their_minute() -> None:
    plan = Plan(nodes=200, accounts=20, jobs_per_s=5, speed=LONG_JOBS)
    async with world(plan) as running:
        await asyncio.sleep(120)
        assert await running.drain() <= 60
        assert running.outbox.count() == 0
        assert set(running.lives().values()) == {Life.STOPPED.value}
    running.check()
