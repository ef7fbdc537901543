"""What every source of jobs must do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from node.domain.errors import SessionLost, StepFault, StepRefused, TryLater
from node.domain.jobs import ChatPayload
from node.domain.verdict import Ruling
from tests.contract.source.benches import SOURCES, SourceBench, finished
from tests.support.virtual_time import in_virtual_time

Test = Callable[[SourceBench], Awaitable[None]]


def for_each_source(test: Test) -> Callable[[str], None]:
    """Run the test once for each source, in virtual time."""

    @pytest.mark.parametrize("kind", SOURCES)
    def run(kind: str) -> None:
        @in_virtual_time
        async def within() -> None:
            bench = SOURCES[kind]()
            await bench.open()
            await test(bench)
            await bench.aclose()

        within()

    return run


@for_each_source
async def test_no_job(bench: SourceBench) -> None:
    assert await bench.source.claim() is None


@for_each_source
async def test_jobs_are_claimed_in_order_and_once(bench: SourceBench) -> None:
    for job_id in ("a", "b"):
        bench.offer(job_id)
    for job_id in ("a", "b"):
        job = await bench.source.claim()
        assert job is not None
        assert job.job_id == job_id
        assert isinstance(job.payload, ChatPayload)
        assert job.payload.prompt == f"prompt of {job_id}"
        assert job.receipt["api_key"].reveal() == "key-of-a-developer"
    assert await bench.source.claim() is None


@for_each_source
async def test_a_result_is_taken_once(bench: SourceBench) -> None:
    result = finished(bench.source, "a")
    assert (await bench.source.settle(result)).ruling is Ruling.OK
    assert (await bench.source.settle(result)).ruling is Ruling.ALREADY
    assert bench.taken() == ["a"]


@for_each_source
async def test_a_failure_is_a_result_too(bench: SourceBench) -> None:
    assert (await bench.source.settle(finished(bench.source, "a", ok=False))).ruling is Ruling.OK
    assert bench.taken() == ["a"]


@for_each_source
async def test_a_claim_that_fails_claims_nothing(bench: SourceBench) -> None:
    for kind in (TryLater, StepFault, StepRefused, SessionLost):
        bench.offer(kind.__name__)
        bench.fail_claim(kind)
        with pytest.raises(kind) as caught:
            await bench.source.claim()
        if isinstance(caught.value, TryLater):
            assert caught.value.retry_after_s == 7
        if kind is not SessionLost:
            job = await bench.source.claim()
            assert job is not None
            assert job.job_id == kind.__name__


@for_each_source
async def test_a_result_that_is_not_taken_may_be_sent_again(bench: SourceBench) -> None:
    for ruling in (Ruling.RETRY, Ruling.FAULT, Ruling.DEAD_LETTER, Ruling.ALREADY, Ruling.SESSION_LOST):
        result = finished(bench.source, ruling.name)
        bench.refuse_result(ruling)
        verdict = await bench.source.settle(result)
        assert (verdict.ruling, bool(verdict.reason)) == (ruling, True)
        assert verdict.retry_after_s == (7 if ruling is Ruling.RETRY else None)
        assert bench.taken() == []


@for_each_source
async def test_keys_name_the_source(bench: SourceBench) -> None:
    assert bench.source.source_id
    assert bench.source.source_id == finished(bench.source, "a").key.source
