"""What a slow or failing journal does to claims and results, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from node.domain.errors import StorageUnavailable
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.runtime.signals import Signal
from node.sandbox.jobs import Answer, Claim, JobRecord
from node.sandbox.journal import NullJournal
from node.sandbox.nodes import NodeRecord
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import AlreadyAnswered
from node.sandbox.sums import Counts
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import KEY, a_gateway, join, result, submit


class SlowJournal(NullJournal):
    """Takes ``delay_s`` for each change, and fails while ``broken``."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.broken = False
        self.checkpoints = 0

    async def _write(self) -> None:
        broken = self.broken
        await asyncio.sleep(self.delay_s)
        if broken:
            raise StorageUnavailable("disk full")

    async def node(self, node: NodeRecord) -> None:
        await self._write()

    async def submitted(self, job: JobRecord) -> None:
        await self._write()

    async def claimed(self, job: JobRecord, claim: Claim, until: float) -> None:
        await self._write()

    async def answered(self, job: JobRecord, answer: Answer, node: NodeRecord) -> None:
        await self._write()

    async def checkpoint(self, nodes: Sequence[NodeRecord], gone: Sequence[JobRecord], forgotten: Counts) -> None:
        self.checkpoints += 1
        await self._write()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_virtual_time
async def test_neither_200_nor_409_is_said_before_the_acceptance_is_durable() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        journal.delay_s = 10
        first = asyncio.create_task(gateway.accept(node, result(job)))
        second = asyncio.create_task(gateway.accept(node, result(job)))
        await asyncio.sleep(9)
        assert not first.done()
        assert not second.done()
        assert (await gateway.totals()).accepted == 0
        await asyncio.sleep(2)
        await first
        with pytest.raises(AlreadyAnswered):
            await second
        journal.delay_s = 0


@in_virtual_time
async def test_an_acceptance_that_fails_gives_the_one_who_waits_a_try() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        journal.delay_s, journal.broken = 10, True
        first = asyncio.create_task(gateway.accept(node, result(job, "first")))
        await turn()
        second = asyncio.create_task(gateway.accept(node, result(job, "second")))
        third = asyncio.create_task(gateway.accept(node, result(job, "third")))
        await turn()
        journal.broken = False
        with pytest.raises(StorageUnavailable):
            await first
        await second
        with pytest.raises(AlreadyAnswered):
            await third
        assert b"second" in gateway.answer(job.job_id, KEY)[1].result
        journal.delay_s = 0
        totals = await gateway.totals()
        assert (totals.succeeded, totals.duplicates_refused, node.succeeded) == (1, 1, 1)


@in_virtual_time
async def test_an_acceptance_outlives_the_request_that_asked_for_it() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        journal.delay_s = 10
        request = asyncio.create_task(gateway.accept(node, result(job)))
        await asyncio.sleep(5)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(node, result(job))
        journal.delay_s = 0


@in_virtual_time
async def test_a_job_whose_answer_is_being_written_is_not_handed_out() -> None:
    journal = SlowJournal()
    async with a_gateway(SandboxPolicy(lease_s=60), journal=journal) as gateway:
        job = await submit(gateway)
        late, other = await join(gateway, "a"), await join(gateway, "b")
        await gateway.claim(late)
        await asyncio.sleep(60)
        journal.delay_s = 10
        accept = asyncio.create_task(gateway.accept(late, result(job)))
        await turn()
        journal.delay_s = 0
        assert await gateway.claim(other) is None
        assert not accept.done()
        await accept
        assert await gateway.claim(other) is None


@in_virtual_time
async def test_a_claim_that_cannot_be_kept_is_not_made() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        journal.broken = True
        with pytest.raises(StorageUnavailable):
            await gateway.claim(node)
        journal.broken = False
        assert not job.claims
        assert await gateway.claim(node) is job


@in_virtual_time
async def test_a_claim_whose_request_is_cancelled_gives_the_job_back() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        journal.delay_s = 10
        poll = asyncio.create_task(gateway.claim(node))
        await asyncio.sleep(5)
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        journal.delay_s = 0
        assert await gateway.claim(node) is job


@in_virtual_time
async def test_a_node_that_leaves_while_it_claims_gets_nothing() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        job = await submit(gateway)
        node = await join(gateway, "a")
        journal.delay_s = 10
        poll = asyncio.create_task(gateway.claim(node))
        await asyncio.sleep(5)
        await gateway.leave(node, "a")
        assert await poll is None
        journal.delay_s = 0
        assert await gateway.claim(await join(gateway, "b")) is job


@in_virtual_time
async def test_a_late_answer_while_another_node_claims_ends_the_claim() -> None:
    journal = SlowJournal()
    async with a_gateway(SandboxPolicy(lease_s=60), journal=journal) as gateway:
        job = await submit(gateway)
        late, other = await join(gateway, "a"), await join(gateway, "b")
        await gateway.claim(late)
        await asyncio.sleep(60)
        journal.delay_s = 20
        poll = asyncio.create_task(gateway.claim(other))
        await turn()
        journal.delay_s = 10
        await gateway.accept(late, result(job))
        assert await poll is None
        journal.delay_s = 0
        totals = await gateway.totals()
        assert (totals.accepted, totals.leased, totals.pending) == (1, 0, 0)


@in_virtual_time
async def test_what_cannot_be_kept_is_not_promised() -> None:
    journal = SlowJournal()
    async with a_gateway(journal=journal) as gateway:
        node = await join(gateway, "a")
        journal.broken = True
        for attempt in (
            gateway.check_secret(NodeId("a"), Secret("s")),
            gateway.register(NodeId("a"), ""),
            gateway.update_models(node, "a", ()),
            gateway.points(node, "a"),
            submit(gateway),
            gateway.checkpoint(),
        ):
            with pytest.raises(StorageUnavailable):
                await attempt
        assert (await gateway.totals()).submitted == 0


@in_virtual_time
async def test_housekeeping_goes_on_when_the_disk_fails() -> None:
    journal = SlowJournal()
    async with a_gateway(SandboxPolicy(checkpoint_s=10), journal=journal) as gateway:
        stop = Signal()
        house = asyncio.create_task(gateway.keep_house(stop))
        journal.broken = True
        await asyncio.sleep(25)
        journal.broken = False
        await asyncio.sleep(10)
        assert journal.checkpoints == 3
        stop.set()
        await house
        journal.broken = True
