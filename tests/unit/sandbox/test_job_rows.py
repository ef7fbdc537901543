from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.sandbox.job_rows import AnswerRow, ClaimRow, JobRow, decode, encode, result_digest
from node.sandbox.jobs import MAX_RECEIPTS, Answer, Claim, JobRecord, Received
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import JOB, Client, a_gateway, a_sandbox, enter, join, result, submit, wire_result

A, B = NodeId("a"), NodeId("b")


def test_a_row_tells_all_that_happened_and_nothing_that_was_said() -> None:
    job = JobRecord(
        JobId("j"),
        7,
        "m",
        Secret("hidden-key"),
        5.00000049,
        b"hidden prompt",
        claims=[Claim(A, 6.0, 16.0, "lapsed", 16.5), Claim(B, 17.0, 27.0)],
        answer=Answer(B, 20.0, "error", "m2", b'{"message":{"role":"assistant","content":""},"error":"hidden why"}'),
        credits=(B, B),
        refused=2,
        received=(Received(A, 19.0, "mismatch", "success"), Received(A, 21.0, "duplicate", "success")),
    )
    document = encode(job, "answered")
    assert decode(json.loads(document)) == JobRow(
        seq=7,
        job_id=JobId("j"),
        model="m",
        submitted_at=5.0,
        state="answered",
        claims=(ClaimRow(A, 6.0, 16.0, "lapsed", 16.5), ClaimRow(B, 17.0, 27.0, None, None)),
        answers=(
            AnswerRow(A, 19.0, "mismatch", "success", "", ""),
            AnswerRow(B, 20.0, "accepted", "error", "m2", result_digest("error", "", "hidden why")),
            AnswerRow(A, 21.0, "duplicate", "success", "", ""),
        ),
        credits=(B, B),
        refused=2,
    )
    assert b"hidden" not in document
    assert b"\n" not in document


@pytest.mark.parametrize(
    "row", [[], [1, 2], None, [1, "j", "m", 0, "queued", [[1]], [], [], 0], [1, "j", "m", 0, "x", 5, [], [], 0]]
)
def test_what_is_no_row_is_refused(row: Any) -> None:
    with pytest.raises(ValueError, match=r"row|values"):
        decode(row)


def test_the_reason_of_a_success_counts_as_none() -> None:
    assert (
        result_digest("success", "x", "why") == result_digest("success", "x", None) != result_digest("error", "x", None)
    )
    assert result_digest("success", "\ud800", None)


def test_a_lease_ends_once() -> None:
    job = JobRecord(JobId("j"), 1, "m", Secret("k"), 0.0, b"", claims=[Claim(A, 1.0, 9.0), Claim(B, 2.0, 9.0)])
    job.lease_ended(A, "left", 3.0)
    job.lease_ended(A, "lapsed", 9.0)
    job.lease_ended(NodeId("c"), "lapsed", 9.0)
    assert job.claims == [Claim(A, 1.0, 9.0, "left", 3.0), Claim(B, 2.0, 9.0)]


def test_the_notes_of_one_job_are_bounded() -> None:
    job = JobRecord(JobId("j"), 1, "m", Secret("k"), 0.0, b"")
    for number in range(3 * MAX_RECEIPTS):
        job.note(Received(A, float(number), "unclaimed", "success"))
    assert len(job.received) == MAX_RECEIPTS


async def pages(control: Client, limit: int) -> list[JobRow]:
    rows: list[JobRow] = []
    after: int | None = 0
    while after is not None:
        page = (await control.get(f"/sandbox/jobs?after={after}&limit={limit}")).json
        assert len(page["rows"]) <= limit
        rows.extend(map(decode, page["rows"]))
        after = page["next_after"]
    return rows


@in_virtual_time
async def test_results_are_told_with_what_became_of_them() -> None:
    async with a_sandbox(SandboxPolicy(lease_s=100, prefer_other_s=1, points_per_job=3)) as (_, client):
        a, b, control = await enter(client, "a"), await enter(client, "b"), client.with_control()
        await client.with_key().post("/submit_job", JOB)
        job = (await a.get("/worker/get_job")).json["job_data"]
        await b.post("/worker/update_result", wire_result(job))
        await a.post("/worker/update_result", {**wire_result(job), "api_key": "stolen"})
        await asyncio.sleep(100)
        await b.get("/worker/get_job")
        await a.post("/worker/update_result", wire_result(job, "text"))
        await b.post("/worker/update_result", wire_result(job))
        page = (await control.get("/sandbox/jobs")).json
        assert {name: page[name] for name in ("lease_s", "points_per_job", "dropped", "next_after")} == {
            "lease_s": 100,
            "points_per_job": 3,
            "dropped": 0,
            "next_after": None,
        }
        row = decode(page["rows"][0])
        began = row.submitted_at
        assert began is not None
        assert page["now"] == pytest.approx(began + 100)
        assert [(answer.node, answer.receipt) for answer in row.answers] == [
            ("b", "unclaimed"),
            ("a", "mismatch"),
            ("a", "accepted"),
            ("b", "duplicate"),
        ]
        assert [answer.digest for answer in row.answers][2] == result_digest("success", "text", None)
        assert [(claim.node, claim.ended) for claim in row.claims] == [("a", "lapsed"), ("b", "answered")]
        assert [claim.until for claim in row.claims] == [pytest.approx(began + 100), pytest.approx(began + 200)]
        assert (row.credits, row.refused, row.state) == (("a",), 1, "answered")
        for bad in ("limit=x", "after=-1"):
            assert (await control.get(f"/sandbox/jobs?{bad}")).status == 422


@in_virtual_time
async def test_each_job_has_one_row_forgotten_or_not_and_in_whatever_pages() -> None:
    policy = SandboxPolicy(keep_results=10, keep_rows=10_000, max_pending=10_000)
    async with a_sandbox(policy) as (running, client):
        gateway, control = running.gateway, client.with_control()
        node = await join(gateway, "a")
        jobs = [await submit(gateway, "m" if number % 7 else "other") for number in range(1, 1001)]
        while (job := await gateway.claim(node)) is not None:
            await gateway.accept(node, result(job))
        await gateway.checkpoint()
        assert len(gateway.job_rows(0, 10_000)) == 10 + 142
        for limit in (1000, 999, 256, 97):
            rows = await pages(control, limit)
            assert [row.seq for row in rows] == list(range(1, 1001))
            assert [row.job_id for row in rows] == [job.job_id for job in jobs]
            assert [row.state for row in rows] == ["answered" if seq % 7 else "queued" for seq in range(1, 1001)]


@in_virtual_time
async def test_a_job_that_is_forgotten_between_two_pages_has_one_row() -> None:
    async with a_gateway(SandboxPolicy(keep_results=0, keep_rows=10_000)) as gateway:
        node = await join(gateway, "a")
        for _ in range(600):
            await submit(gateway)
        while (job := await gateway.claim(node)) is not None:
            await gateway.accept(node, result(job))
        seqs: list[int] = []
        after: int | None = 0
        while after is not None:
            page = await gateway.job_page(after, 100)
            seqs += [decode(json.loads(row)).seq for row in page.rows]
            after = page.next_after
            await gateway.checkpoint()
        assert seqs == list(range(1, 601))


@in_virtual_time
async def test_rows_beyond_what_is_kept_are_counted_and_gaps_are_passed_in_bounded_steps() -> None:
    async with a_gateway(SandboxPolicy(keep_results=0, keep_rows=0)) as gateway:
        node = await join(gateway, "a")
        for _ in range(20_000):
            job = await submit(gateway)
            await gateway.claim(node)
            await gateway.accept(node, result(job))
            if job.seq % 5000 == 0:
                await asyncio.sleep(1)
                await gateway.checkpoint()
        await submit(gateway)
        first = await gateway.job_page(0, 10)
        assert (first.rows, first.dropped) == ([], 20_000)
        assert first.next_after is not None
        rows, after, steps = [], first.next_after, 1
        while after is not None:
            page = await gateway.job_page(after, 10)
            rows, after, steps = rows + page.rows, page.next_after, steps + 1
        assert [decode(json.loads(row)).seq for row in rows] == [20_001]
        assert steps < 5
