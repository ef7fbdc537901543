"""The gateway's rules in virtual time, without HTTP."""

from __future__ import annotations

import asyncio

import pytest

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.protocol.messages import JobData
from node.sandbox.broker import Ticket
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import (
    AlreadyAnswered,
    KeyDenied,
    NoResultYet,
    NotRegistered,
    NotYours,
    QueueFull,
    ResultMismatch,
    TokenDenied,
    UnknownJob,
)
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import KEY, a_gateway, join, result, submit

POLICY = SandboxPolicy(lease_s=300, prefer_other_s=30, points_per_minute=0)


@in_virtual_time
async def test_jobs_are_handed_out_in_order_with_the_developers_key() -> None:
    async with a_gateway(POLICY) as gateway:
        first, second = await submit(gateway, text="one"), await submit(gateway, text="two")
        node = await join(gateway, "a")
        claimed = await gateway.claim(node)
        assert claimed is first
        data = JobData.model_validate_json(claimed.body)
        assert (data.job_id, data.api_key, data.model) == (first.job_id, KEY.reveal(), "m")
        assert data.messages == [{"role": "user", "content": "one"}]
        assert data.temperature is None
        assert await gateway.claim(node) is second
        assert await gateway.claim(node) is None


@in_virtual_time
async def test_a_job_is_for_nodes_that_offer_its_model() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway, "big")
        small, big = await join(gateway, "a", "small"), await join(gateway, "b", "big", "small")
        assert await gateway.claim(small) is None
        assert await gateway.claim(big) is job


@in_virtual_time
async def test_a_result_counts_once_and_earns_points() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        with pytest.raises(NoResultYet):
            gateway.answer(job.job_id, KEY)
        await gateway.accept(node, result(job, "the answer"))
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(node, result(job, "another answer"))
        _, answer = gateway.answer(job.job_id, KEY)
        assert b"the answer" in answer.result
        points = await gateway.points(node, "a")
        assert (points.points, points.pointsraw) == (1, 1)
        totals = await gateway.totals()
        assert (totals.accepted, totals.succeeded, totals.duplicates_refused, totals.lost) == (1, 1, 1, 0)
        assert job.body == b""


@in_virtual_time
async def test_an_error_is_an_answer_too_but_earns_nothing() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        await gateway.accept(node, result(job, "", error="no engine"))
        assert job.answer is not None
        assert job.answer.status == "error"
        assert (await gateway.points(node, "a")).points == 0
        totals = await gateway.totals()
        assert (totals.failed, totals.succeeded) == (1, 0)
        assert gateway.jobs_done("a") == 1
        assert gateway.jobs_done("nobody") == 0


@in_virtual_time
async def test_results_of_strangers_and_for_unknown_jobs_are_refused() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node, stranger = await join(gateway, "a"), await join(gateway, "b")
        await gateway.claim(node)
        with pytest.raises(UnknownJob):
            await gateway.accept(stranger, result(job))
        await gateway.accept(node, result(job))
        with pytest.raises(UnknownJob):
            await gateway.accept(stranger, result(job))
        with pytest.raises(UnknownJob):
            await gateway.accept(node, result(job).model_copy(update={"job_id": "nothing"}))
        assert (await gateway.totals()).unknown_results == 3


@in_virtual_time
async def test_a_result_must_carry_the_jobs_key() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        with pytest.raises(ResultMismatch):
            await gateway.accept(node, result(job).model_copy(update={"api_key": "stolen"}))
        assert job.answer is None


@in_virtual_time
async def test_an_unanswered_job_goes_to_another_node() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        first, second = await join(gateway, "a"), await join(gateway, "b")
        await gateway.claim(first)
        await asyncio.sleep(299)
        assert await gateway.claim(second) is None
        await asyncio.sleep(1)
        gateway.authenticate(await gateway.register(NodeId("b"), ""))
        assert await gateway.claim(first) is None
        assert await gateway.claim(second) is job
        await gateway.accept(second, result(job))
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(first, result(job))
        totals = await gateway.totals()
        assert (totals.claimed, totals.claims, totals.redelivered, totals.returned) == (1, 2, 1, 1)


@in_virtual_time
async def test_a_job_comes_back_to_its_node_when_nobody_else_takes_it() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node, other = await join(gateway, "a"), await join(gateway, "b")
        await gateway.claim(node)
        await asyncio.sleep(300)
        gateway.authenticate(await gateway.register(other.node_id, ""))
        assert await gateway.claim(node) is None
        await asyncio.sleep(30)
        assert await gateway.claim(node) is job


@in_virtual_time
async def test_a_job_comes_back_at_once_to_the_only_node() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await join(gateway, "b", "another model")
        await gateway.claim(node)
        await asyncio.sleep(300)
        assert await gateway.claim(node) is job


@in_virtual_time
async def test_signs_of_life_extend_no_lease() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        token = await gateway.register(NodeId("a"), "")
        node = gateway.authenticate(token)
        await gateway.update_models(node, "a", ("m",))
        await gateway.claim(node)
        for _ in range(30):
            await asyncio.sleep(10)
            gateway.authenticate(token)
        assert (await gateway.totals()).leased == 0
        assert await gateway.claim(await join(gateway, "b")) is job


@in_virtual_time
async def test_leaving_gives_leases_up_at_once() -> None:
    async with a_gateway(POLICY) as gateway:
        jobs = [await submit(gateway), await submit(gateway)]
        node, other = await join(gateway, "a"), await join(gateway, "b")
        assert [await gateway.claim(node), await gateway.claim(node)] == jobs
        await gateway.leave(node, "a")
        assert [await gateway.claim(other), await gateway.claim(other)] == jobs
        with pytest.raises(NotRegistered):
            await gateway.claim(node)
        with pytest.raises(NotRegistered):
            await gateway.points(node, "a")
        with pytest.raises(NotRegistered):
            await gateway.update_models(node, "a", ())


@in_virtual_time
async def test_registering_anew_keeps_leases_and_models() -> None:
    async with a_gateway(POLICY) as gateway:
        job, later = await submit(gateway), await submit(gateway)
        node, other = await join(gateway, "a"), await join(gateway, "b", "x")
        await gateway.claim(node)
        await gateway.register(node.node_id, "0.0.5")
        assert await gateway.claim(other) is None
        assert await gateway.claim(node) is later
        await gateway.accept(node, result(job))


@in_virtual_time
async def test_a_late_result_is_accepted_while_nobody_else_has_answered() -> None:
    async with a_gateway(POLICY) as gateway:
        queued, leased = await submit(gateway), await submit(gateway)
        late = await join(gateway, "late")
        await gateway.claim(late)
        await gateway.claim(late)
        await asyncio.sleep(300)
        other = await join(gateway, "other")
        assert await gateway.claim(other) is queued
        await gateway.accept(late, result(leased))
        assert (await gateway.totals()).pending == 0
        assert await gateway.claim(other) is None
        await gateway.accept(late, result(queued))
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(other, result(queued))
        totals = await gateway.totals()
        assert (totals.accepted, totals.pending, totals.leased, totals.lost) == (2, 0, 0, 0)


@in_virtual_time
async def test_a_node_that_left_may_hand_in_what_it_finished() -> None:
    async with a_gateway(POLICY) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        await gateway.leave(node, "a")
        await gateway.accept(node, result(job))
        assert job.answer is not None


@in_virtual_time
async def test_a_node_speaks_for_itself_only() -> None:
    async with a_gateway(POLICY) as gateway:
        node = await join(gateway, "a")
        await join(gateway, "b")
        for attempt in (
            gateway.update_models(node, "b", ()),
            gateway.points(node, "b"),
            gateway.leave(node, "b"),
        ):
            with pytest.raises(NotYours):
                await attempt


@in_virtual_time
async def test_a_good_token_of_an_unknown_node_is_denied() -> None:
    async with a_gateway(POLICY) as gateway, a_gateway(POLICY) as forgetful:
        token = await gateway.register(NodeId("a"), "")
        with pytest.raises(TokenDenied):
            forgetful.authenticate(token)


@in_virtual_time
async def test_developers_see_their_own_jobs() -> None:
    policy = SandboxPolicy(api_keys=(KEY, Secret("second")))
    async with a_gateway(policy) as gateway:
        job = await submit(gateway)
        with pytest.raises(UnknownJob):
            gateway.answer(job.job_id, gateway.check_key("second"))
        for wrong in ("", "unknown"):
            with pytest.raises(KeyDenied):
                gateway.check_key(wrong)


@in_virtual_time
async def test_submissions_are_refused_when_too_many_jobs_wait() -> None:
    async with a_gateway(SandboxPolicy(max_pending=2)) as gateway:
        await submit(gateway)
        await submit(gateway)
        with pytest.raises(QueueFull):
            await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        await submit(gateway)


@in_virtual_time
async def test_old_answers_are_forgotten_and_stay_in_the_sums() -> None:
    policy = SandboxPolicy(keep_results_s=100, keep_results=2, points_per_minute=0)
    async with a_gateway(policy) as gateway:
        node = await join(gateway, "a")
        jobs = [await submit(gateway) for _ in range(4)]
        for job in jobs:
            await gateway.claim(node)
            await gateway.accept(node, result(job))
        await gateway.checkpoint()
        assert [row["seq"] for row in gateway.job_rows(0, 10)] == [3, 4]
        with pytest.raises(UnknownJob):
            await gateway.accept(node, result(jobs[0]))
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(node, result(jobs[3]))
        await asyncio.sleep(101)
        await gateway.checkpoint()
        assert gateway.job_rows(0, 10) == []
        totals = await gateway.totals()
        assert (totals.submitted, totals.accepted, totals.claims, totals.points) == (4, 4, 4, 4)


@in_virtual_time
async def test_waiting_ends_with_the_answer_with_the_time_and_with_the_gateway() -> None:
    async with a_gateway(SandboxPolicy(max_chat_wait_s=50)) as gateway:
        job, never = await submit(gateway), await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        waits = [asyncio.create_task(gateway.wait(job, 10)) for _ in range(2)]
        await asyncio.sleep(5)
        await gateway.accept(node, result(job))
        assert [await wait for wait in waits] == [True, True]
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert not await gateway.wait(never, 7)
        assert loop.time() - began == pytest.approx(7)
        assert not await gateway.wait(never, 1e9)
        assert loop.time() - began == pytest.approx(57)
        last = asyncio.create_task(gateway.wait(never, 40))
        await asyncio.sleep(1)
        gateway.dismiss()
        assert not await last
        assert not await gateway.wait(never, 40)
        assert await gateway.wait(job, 0)
        assert loop.time() - began == pytest.approx(58)


@in_virtual_time
async def test_the_network_counts_active_nodes_and_their_models() -> None:
    async with a_gateway(SandboxPolicy(active_s=60)) as gateway:
        await join(gateway, "a", "y", "x")
        await asyncio.sleep(61)
        await join(gateway, "b", "z")
        leaver = await join(gateway, "c", "w")
        await gateway.leave(leaver, "c")
        stats = gateway.network()
        assert (stats.active_nodes, stats.known_nodes, stats.models) == (1, 3, ("z",))
        rows = gateway.node_rows(0, 10)
        assert [row["node_id"] for row in rows] == ["a", "b", "c"]
        assert rows[0]["silent_s"] == pytest.approx(61)


@in_virtual_time
async def test_uptime_earns_points() -> None:
    async with a_gateway(SandboxPolicy(points_per_minute=2)) as gateway:
        token = await gateway.register(NodeId("a"), "")
        await asyncio.sleep(90)
        points = await gateway.points(gateway.authenticate(token), "a")
        assert points.pointsraw == pytest.approx(3)


@in_virtual_time
async def test_tickets_that_a_broker_keeps_of_answered_and_unknown_jobs_are_passed_over() -> None:
    async with a_gateway(POLICY) as gateway:
        done, open_job = await submit(gateway), await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        await gateway.accept(node, result(done))
        await gateway._broker.publish(done.ticket)
        await gateway._broker.publish(Ticket(JobId("unknown"), "m", 0))
        assert await gateway.claim(node) is open_job
        assert await gateway.claim(node) is None
