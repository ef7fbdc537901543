from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.sandbox.gateway import Gateway
from node.sandbox.jobs import Answer, Claim, JobRecord, Received
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import NodeRecord
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import AlreadyAnswered, NotRegistered, UnknownJob
from tests.support.virtual_time import VirtualLoop
from tests.unit.sandbox.building import a_gateway, join, result, submit

NODES = ("a", "b", "c")
POLICY = SandboxPolicy(lease_s=60, prefer_other_s=20, active_s=100, keep_results=3, points_per_minute=0)


def a_job(seq: int) -> JobRecord:
    return JobRecord(JobId(f"job-{seq}"), seq, "m", Secret("k"), 0.0, b"{}")


def an_answer() -> Answer:
    return Answer(NodeId("a"), 1.0, "success", "m", b"{}")


def test_a_second_answer_is_a_defect() -> None:
    ledger = Ledger()
    job = a_job(1)
    ledger.submitted(job)
    ledger.answered(job, an_answer())
    with pytest.raises(RuntimeError):
        ledger.answered(job, an_answer())


def test_lost_are_claimed_unanswered_jobs_that_nobody_holds() -> None:
    ledger = Ledger()
    jobs = [a_job(seq) for seq in range(1, 5)]
    for job in jobs:
        ledger.submitted(job)
    for job in jobs[:3]:
        ledger.claimed(job, Claim(NodeId("a"), 0.0))
    ledger.answered(jobs[0], an_answer())
    assert ledger.lost(lambda _job: False) == 2
    assert ledger.lost(lambda job: job == "job-2") == 1
    assert ledger.accepted == 1


def test_rows_show_what_became_of_jobs_and_no_content() -> None:
    ledger = Ledger()
    job = JobRecord(JobId("j"), 1, "m", Secret("hidden-key"), 5.0, b"hidden prompt")
    ledger.submitted(job)
    ledger.claimed(job, Claim(NodeId("a"), 6.0))
    ledger.answered(job, Answer(NodeId("a"), 7.0, "error", "m2", b"hidden answer"))
    ledger.refused(job, Received(NodeId("a"), 8.0, "duplicate", "error"))
    rows = ledger.rows(0, 10, lambda _job: "answered")
    assert rows == [
        {
            "job_id": "j",
            "seq": 1,
            "model": "m",
            "submitted_at": 5.0,
            "state": "answered",
            "claims": [{"node": "a", "at": 6.0}],
            "accepted": {"node": "a", "at": 7.0, "status": "error", "model_name": "m2"},
            "refused": 1,
        }
    ]
    assert "hidden" not in repr((rows, job))
    assert ledger.rows(1, 10, lambda _job: "answered") == []


class Run:
    """Random operations on one gateway, and what must hold after each."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.accepted: dict[str, int] = {}
        self.claimed: list[tuple[str, JobRecord]] = []
        self.submitted = 0

    async def apply(self, operation: str, number: int) -> None:
        await getattr(self, f"_{operation}")(NODES[number % 3], number)

    def _node(self, name: str) -> NodeRecord:
        return next(node for node in self.gateway._nodes if node.node_id == name)

    async def _submit(self, _name: str, _number: int) -> None:
        await submit(self.gateway)
        self.submitted += 1

    async def _wait(self, _name: str, number: int) -> None:
        await asyncio.sleep(number)

    async def _join(self, name: str, _number: int) -> None:
        await join(self.gateway, name)

    async def _leave(self, name: str, _number: int) -> None:
        await self.gateway.leave(self._node(name), name)

    async def _forget(self, _name: str, _number: int) -> None:
        await self.gateway.checkpoint()

    async def _claim(self, name: str, _number: int) -> None:
        try:
            job = await self.gateway.claim(self._node(name))
        except NotRegistered:
            return
        if job is not None:
            self.claimed.append((name, job))

    async def _answer(self, _name: str, number: int) -> None:
        if not self.claimed:
            return
        name, job = self.claimed[number % len(self.claimed)]
        try:
            await self.gateway.accept(self._node(name), result(job, error="x" if number % 4 == 0 else None))
        except (AlreadyAnswered, UnknownJob):
            assert job.job_id in self.accepted
            return
        self.accepted[job.job_id] = self.accepted.get(job.job_id, 0) + 1

    async def check(self) -> None:
        totals = await self.gateway.totals()
        assert totals.submitted == self.submitted
        assert totals.submitted == totals.pending + totals.leased + totals.accepted
        assert totals.accepted == totals.succeeded + totals.failed == len(self.accepted)
        assert all(times == 1 for times in self.accepted.values())
        assert totals.claims == len(self.claimed)
        assert totals.claimed == len({job.job_id for _, job in self.claimed})
        assert totals.lost == 0
        assert self.gateway.pending == totals.pending
        assert totals.points == totals.succeeded


operations = st.tuples(
    st.sampled_from(
        ["submit", "submit", "claim", "claim", "claim", "answer", "answer", "wait", "join", "leave", "forget"]
    ),
    st.integers(0, 100),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(operations, min_size=30, max_size=80))
def test_every_job_is_pending_or_leased_or_accepted_and_accepted_once(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        async with a_gateway(POLICY) as gateway:
            state = Run(gateway)
            for name in NODES:
                await join(gateway, name)
            for operation, number in steps:
                await state.apply(operation, number)
                await state.check()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
