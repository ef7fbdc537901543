"""Results settled wrongly."""

from __future__ import annotations

from node.domain.errors import StorageError
from node.domain.ids import JobId
from node.protocol.messages import ResultUpdate
from node.sandbox.bugs import Bugs
from node.sandbox.ground import Ground
from node.sandbox.jobs import Answer, JobRecord
from node.sandbox.leases import Leases
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import NodeRecord, Nodes
from node.sandbox.refusals import AlreadyAnswered
from node.sandbox.settlement import Settlement


class BuggySettlement(Settlement):
    """A `Settlement` that loses, doubles, alters and swaps results, miscounts credits, and leaks leases."""

    def __init__(self, bugs: Bugs, ground: Ground, *, nodes: Nodes, ledger: Ledger, leases: Leases) -> None:
        super().__init__(ground, ledger=ledger, leases=leases)
        self._bugs = bugs
        self._nodes = nodes
        self._leaked: set[JobId] = set()
        self._accepted_before: JobRecord | None = None

    def is_leaked(self, job_id: JobId) -> bool:
        """Whether the job has its answer, and its lease was not ended."""
        return job_id in self._leaked

    async def _take(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> None:
        if job.answer is None:
            if self._bugs.strikes("lose-result"):
                await self._drop(job, node, update)
                return
            if self._bugs.strikes("false-conflict"):
                await self._drop(job, node, update)
                raise AlreadyAnswered("a result was submitted already")
        elif self._bugs.strikes("double-accept"):
            self._take_again(job, node, update)
            return
        elif self._leases.holder(job.job_id) == node.node_id and job.claims[-1].at > job.answer.at:
            self._leaked.discard(job.job_id)
            await super()._conclude(job, self._clock.wall())
        await super()._take(job, node, update)

    async def _drop(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> None:
        """Take the job for done, and keep nothing of its result."""
        now = self._clock.wall()
        self._ledger.noted(job, node.node_id, now, "dropped", update.status)
        await super()._conclude(job, now)

    def _take_again(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> None:
        answer = self._answer(node, update)
        self._credit(job, node, answer)
        self._ledger.answered_again(job, answer)

    def _may_answer(self, job: JobRecord, node: NodeRecord) -> bool:
        return super()._may_answer(job, node) or self._bugs.strikes("accept-unclaimed")

    async def _settle(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> StorageError | None:
        body = job.body
        fault = await super()._settle(job, node, update)
        if fault is None:
            if job.job_id in self._leaked:
                job.body = body
            self._swap(job)
        return fault

    def _swap(self, job: JobRecord) -> None:
        """Exchange what is stored of this job with what is stored of the one before."""
        other, self._accepted_before = self._accepted_before, job
        if other is None or not self._bugs.strikes("swap-result"):
            return
        if job.answer is not None and other.answer is not None:
            mine, theirs = job.answer.result, other.answer.result
            job.answer, other.answer = job.answer._replace(result=theirs), other.answer._replace(result=mine)

    def _answer(self, node: NodeRecord, update: ResultUpdate) -> Answer:
        if self._bugs.strikes("corrupt-result"):
            message = update.result.message
            cut = message.model_copy(update={"content": message.content[: len(message.content) // 2] + "\ufffd"})
            update = update.model_copy(update={"result": update.result.model_copy(update={"message": cut})})
        return super()._answer(node, update)

    def _credit(self, job: JobRecord, node: NodeRecord, answer: Answer) -> None:
        if self._bugs.strikes("no-credit"):
            return
        if self._bugs.strikes("credit-other"):
            others = [record for record in self._nodes if record is not node]
            node = self._bugs.pick(others) if others else node
        super()._credit(job, node, answer)
        if self._bugs.strikes("double-credit"):
            super()._credit(job, node, answer)

    async def _conclude(self, job: JobRecord, at: float) -> None:
        if self._leases.holder(job.job_id) is not None and self._bugs.strikes("leak-lease"):
            self._leaked.add(job.job_id)
        else:
            await super()._conclude(job, at)
