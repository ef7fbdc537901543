"""The source in memory, as an embedding program uses it."""

from __future__ import annotations

import asyncio

from node.domain.ids import JobId, JobKey, NodeId
from node.domain.jobs import ChatPayload, Job, Message
from node.domain.results import Failure, FinishedJob
from node.domain.verdict import Ruling
from node.sources.memory import MEMORY, MemorySource
from tests.support.virtual_time import in_virtual_time


def job(job_id: str) -> Job:
    return Job(JobId(job_id), ChatPayload("tiny", (Message("user", "x"),)))


def result(job_id: str, node: str = "n1") -> FinishedJob:
    return FinishedJob(JobKey(MEMORY, NodeId(node), JobId(job_id)), Failure("why", "tiny"), 1.0, 2.0)


@in_virtual_time
async def test_whoever_waits_for_a_result_gets_it() -> None:
    source = MemorySource([job("a")])
    waiting = [asyncio.create_task(source.result(JobId("a"))) for _ in range(3)]
    await asyncio.sleep(1)
    assert (await source.settle(result("a"))).ruling is Ruling.OK
    assert await asyncio.gather(*waiting) == [result("a")] * 3
    assert await source.result(JobId("a")) == result("a")


@in_virtual_time
async def test_of_several_nodes_results_the_first_counts() -> None:
    source = MemorySource()
    assert (await source.settle(result("a", "n1"))).ruling is Ruling.OK
    assert (await source.settle(result("a", "n2"))).ruling is Ruling.ALREADY
    assert source.results[JobId("a")].key.node == "n1"


@in_virtual_time
async def test_jobs_that_wait_are_counted_and_may_be_offered_again() -> None:
    source = MemorySource([job("a"), job("b")])
    assert source.waiting == 2
    assert await source.claim() == job("a")
    source.add(job("a"))
    assert [await source.claim(), await source.claim(), await source.claim()] == [job("b"), job("a"), None]
    assert source.waiting == 0
