"""Runs the jobs of one node: each in a task of its own, from its receipt to its result's being kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from node.domain.errors import ExecutorError, StorageError
from node.domain.events import JobClaimed, JobEnded, JobSkipped, ResultLost, ResultUnsafe
from node.domain.identity import NodeSpec
from node.domain.ids import JobKey, SourceId
from node.domain.jobs import ChatPayload, Job, MalformedPayload
from node.domain.results import Failure, FinishedJob, Success
from node.ports.outbox import Keeping
from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Bell
from node.runtime.tasks import TaskOwner, crash
from node.worker.surroundings import Surroundings


@dataclass(eq=False, slots=True)
class _OpenJob:
    """A job being worked on."""

    job: Job
    key: JobKey
    received_at: float
    started: float
    interrupt: Interrupt = field(default_factory=Interrupt)


class JobRunner:
    """Holds a node's open jobs. A job ends only when its result is kept, so a slot is busy until then."""

    def __init__(self, spec: NodeSpec, around: Surroundings, on_free: Callable[[], None]) -> None:
        self._spec = spec
        self._around = around
        self._on_free = on_free
        self._open: dict[JobKey, _OpenJob] = {}
        self._tasks = TaskOwner(around.events.emit)
        self._ended = Bell()
        self._stop_reason = ""

    @property
    def busy(self) -> int:
        """Slots in use."""
        return len(self._open)

    def start(self, job: Job, source: SourceId) -> None:
        """Work on a job, unless it runs already or its result is known: no node runs a job twice."""
        key = JobKey(source, self._spec.node_id, job.job_id)
        if reason := self._reason_to_skip(key):
            self._around.events.emit(JobSkipped(key, reason))
            return
        clock = self._around.clock
        open_job = _OpenJob(job, key, received_at=clock.wall(), started=clock.monotonic())
        self._open[key] = open_job
        self._around.events.emit(JobClaimed(key, job.payload.model))
        self._tasks.start(self._run(open_job), name=f"job {key.job}", on_done=lambda: self._close(key))

    def stop(self, reason: str) -> None:
        """End what is open: each job is answered with an error that gives this reason."""
        self._stop_reason = reason
        for open_job in self._open.values():
            open_job.interrupt.trigger()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until no job is open; False when the time is over first. One caller at a time."""
        clock = self._around.clock
        end = clock.monotonic() + timeout_s
        while self._open and (left := end - clock.monotonic()) > 0:
            await self._ended.wait(left)
        return not self._open

    async def abandon(self) -> None:
        """Cancel what is still open without a kept answer: for when the disk took none to the very end."""
        for key in self._open:
            self._around.events.emit(ResultLost(key, "the node ended before the result could be kept"))
        await self._tasks.cancel()

    def _reason_to_skip(self, key: JobKey) -> str:
        if key in self._open:
            return "it is being worked on"
        match self._around.sender.keeping(key):
            case Keeping.UNKNOWN:
                return ""
            case Keeping.PENDING:
                return "its result waits to be sent"
            case Keeping.ACCEPTED:
                return "its result was accepted"
            case Keeping.DEAD:
                return "its result was refused"
            case keeping:
                assert_never(keeping)

    def _close(self, key: JobKey) -> None:
        del self._open[key]
        self._ended.ring()
        self._on_free()

    async def _run(self, open_job: _OpenJob) -> None:
        outcome = await self._outcome(open_job)
        clock = self._around.clock
        finished = FinishedJob(
            key=open_job.key,
            outcome=outcome,
            received_at=open_job.received_at,
            finished_at=clock.wall(),
            receipt=open_job.job.receipt,
        )
        took_s = clock.monotonic() - open_job.started
        await self._keep(finished)
        self._around.events.emit(_ended_event(finished, took_s))

    async def _outcome(self, open_job: _OpenJob) -> Success | Failure:
        match open_job.job.payload:
            case MalformedPayload(model, reason):
                return Failure(reason, model)
            case ChatPayload() as payload:
                return await self._execute(open_job, self._capped(payload))
            case payload:
                assert_never(payload)

    async def _execute(self, open_job: _OpenJob, payload: ChatPayload) -> Success | Failure:
        if self._stop_reason:
            return Failure(self._stop_reason, payload.model)
        try:
            with open_job.interrupt:
                open_job.interrupt.trigger_in(self._around.policy.job_deadline_s)
                generation = await self._around.executor.execute(payload)
        except Interrupted:
            return Failure(self._reason_for_end(), payload.model)
        except ExecutorError as error:
            return Failure(str(error), payload.model)
        except Exception as error:  # noqa: BLE001 - a defect in an executor must not leave the job unanswered
            self._around.events.emit(crash(f"job {open_job.key.job}", error, self._spec.node_id))
            return Failure("the node failed on this job", payload.model)
        return Success(generation)

    def _reason_for_end(self) -> str:
        return self._stop_reason or f"not done within {self._around.policy.job_deadline_s:g} s"

    def _capped(self, payload: ChatPayload) -> ChatPayload:
        ceiling = self._around.policy.default_max_output
        return replace(payload, max_output=min(payload.max_output or ceiling, ceiling))

    async def _keep(self, finished: FinishedJob) -> None:
        """Put the result on disk, again and again while the disk does not take it: the slot stays busy meanwhile."""
        attempt = 0
        while True:
            try:
                await self._around.sender.put(finished)
            except StorageError as error:
                attempt += 1
                self._around.events.emit(ResultUnsafe(finished.key, str(error)))
                wait_s = self._around.policy.back_off.draw(attempt, self._around.random)
                await Bell().wait(wait_s)
            else:
                return


def _ended_event(finished: FinishedJob, took_s: float) -> JobEnded:
    match finished.outcome:
        case Success(generation):
            return JobEnded(
                finished.key, generation.executor, generation.model, took_s, output_tokens=generation.output_tokens
            )
        case Failure(reason, model):
            return JobEnded(finished.key, "", model, took_s, output_tokens=None, error=reason)
        case outcome:
            assert_never(outcome)
