"""How a job gets its one answer."""

from __future__ import annotations

import asyncio

from node.domain.errors import StorageError
from node.domain.ids import JobId
from node.domain.secret import Secret
from node.protocol.messages import ResultUpdate
from node.runtime.signals import Signal
from node.sandbox.ground import Ground
from node.sandbox.jobs import Answer, JobRecord, Received
from node.sandbox.leases import Leases
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import NodeRecord
from node.sandbox.refusals import AlreadyAnswered, ResultMismatch, UnknownJob


class Settlement:
    """Accepts results, each job's first one only, and tells those who wait for it.

    An acceptance is written down before anything shows it, in a task of its own that no request's end ends:
    whoever sends the same result again learns of an acceptance only once it is durable, and of a failed one
    gets another try.
    """

    def __init__(self, ground: Ground, *, ledger: Ledger, leases: Leases) -> None:
        self._ledger = ledger
        self._leases = leases
        self._broker = ground.broker
        self._journal = ground.journal
        self._clock = ground.clock
        self._tasks = ground.tasks
        self._under_way: dict[JobId, asyncio.Task[StorageError | None]] = {}
        self._awaited: dict[JobId, Signal] = {}
        self._closed = False

    def is_under_way(self, job_id: JobId) -> bool:
        """Whether an answer is being written down now."""
        return job_id in self._under_way

    async def accept(self, node: NodeRecord, update: ResultUpdate) -> None:
        """Take a result, whether or not the node's lease still runs; durable when it returns.

        Raises:
            UnknownJob: there is no such job, or it was never handed to this node.
            ResultMismatch: it carries another ``api_key`` than the job.
            AlreadyAnswered: the job has an answer, which is durable.
            StorageUnavailable: it cannot be written down; nothing is changed.
        """
        job = self._ledger.find(update.job_id)
        if job is None or not self._may_answer(job, node):
            self._ledger.unknown(job, node.node_id, self._clock.wall(), update.status)
            raise UnknownJob("this job was never handed to this node")
        if not _has_key(job, update):
            self._ledger.noted(job, node.node_id, self._clock.wall(), "mismatch", update.status)
            raise ResultMismatch("the api_key is not the job's")
        await self._settled(job)
        await self._take(job, node, update)

    async def wait(self, job: JobRecord, timeout_s: float) -> bool:
        """Wait until the job has an answer, the time is over or the gateway closes; whether it has one."""
        if job.answer is None and not self._closed:
            await self._awaited.setdefault(job.job_id, Signal()).wait(timeout_s)
        return job.answer is not None

    def close(self) -> None:
        """Wake all who wait, and let nobody wait from now on."""
        self._closed = True
        for signal in self._awaited.values():
            signal.set()

    async def _settled(self, job: JobRecord) -> None:
        while (task := self._under_way.get(job.job_id)) is not None:
            await asyncio.wait([task])

    async def _take(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> None:
        """Take a result that is fit to be the job's, while no other one is being written down."""
        if job.answer is not None:
            self._ledger.refused(job, Received(node.node_id, self._clock.wall(), "duplicate", update.status))
            raise AlreadyAnswered("a result was submitted already")
        task = self._tasks.start(self._settle(job, node, update), name=f"settle-{job.job_id}")
        self._under_way[job.job_id] = task
        fault = await asyncio.shield(task)
        if fault is not None:
            raise fault

    def _may_answer(self, job: JobRecord, node: NodeRecord) -> bool:
        return job.claimed_by(node.node_id)

    async def _settle(self, job: JobRecord, node: NodeRecord, update: ResultUpdate) -> StorageError | None:
        answer = self._answer(node, update)
        try:
            await self._journal.answered(job, answer, node)
        except StorageError as error:
            return error
        finally:
            del self._under_way[job.job_id]
        self._credit(job, node, answer)
        self._ledger.answered(job, answer)
        signal = self._awaited.pop(job.job_id, None)
        if signal is not None:
            signal.set()
        await self._conclude(job, answer.at)
        return None

    def _answer(self, node: NodeRecord, update: ResultUpdate) -> Answer:
        """What is stored of a result."""
        result = update.result.model_dump_json(exclude_none=True).encode()
        return Answer(node.node_id, self._clock.wall(), update.status, update.model_name, result)

    def _credit(self, job: JobRecord, node: NodeRecord, answer: Answer) -> None:
        """Count the result for its node: a success earns points."""
        if answer.status == "success":
            node.succeeded += 1
            job.credits = (*job.credits, node.node_id)
        else:
            node.failed += 1

    async def _conclude(self, job: JobRecord, at: float) -> None:
        """Nobody shall work on the job any more; ``at`` is Unix time in seconds."""
        holder = self._leases.end(job.job_id)
        if holder is not None:
            self._ledger.lease_ended(job.job_id, holder, "answered", at)
        await self._broker.settle(job.job_id)


def _has_key(job: JobRecord, update: ResultUpdate) -> bool:
    return Secret(update.api_key) == job.api_key
