"""Runs the jobs of one node: each in a task of its own, from its receipt to its result's being kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from node.domain.errors import ExecutorError, StorageError
from node.domain.events import Crash, JobClaimed, JobEnded, JobSkipped, ResultLost, ResultUnsafe
from node.domain.identity import NodeSpec
from node.domain.ids import JobKey, SourceId
from node.domain.jobs import ChatPayload, Job, MalformedPayload, Payload
from node.domain.results import Embeddings, Failure, FinishedJob, Success
from node.ports.executor import InstantExecutor
from node.ports.outbox import Keeping
from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Bell
from node.runtime.tasks import TaskOwner, crash
from node.worker.surroundings import Surroundings

_UNKNOWN: Final = Keeping.UNKNOWN
_OUTCOMES: Final = (Success, Failure)
_ABANDON_S: Final = 0.5
"""Time for jobs that are cancelled to end."""


@dataclass(eq=False, slots=True)
class _OpenJob:
    """A job being worked on; ``finished`` is its result once there is one, ``is_kept`` whether the outbox has it.

    ``error`` is the executor's, as the operator may read it.
    """

    job: Job
    key: JobKey
    received_at: float
    started: float
    interrupt: Interrupt
    finished: FinishedJob | None = None
    error: str = ""
    took_s: float = 0.0
    is_kept: bool = False


class JobRunner:
    """Holds a node's open jobs. A job ends only when its result is kept, so a slot is busy until then.

    ``on_free`` is called whenever a job has ended.
    """

    __slots__ = (
        *(
            "_abandoned",
            "_answer_now",
            "_around",
            "_interrupts",
            "_on_free",
            "_open",
            "_spec",
            "_stop_reason",
            "_tasks",
        ),
        "busy",
    )

    def __init__(self, spec: NodeSpec, around: Surroundings, on_free: Callable[[], None]) -> None:
        self._spec = spec
        self._around = around
        self._on_free = on_free
        self._answer_now = around.executor.answer_now if isinstance(around.executor, InstantExecutor) else None
        self._open: dict[JobKey, _OpenJob] = {}
        self.busy = 0
        """Slots in use."""
        self._interrupts: list[Interrupt] = []
        """Those of former jobs, to be used again: each knows its loop by then."""
        self._tasks = TaskOwner(self._tell_crash)
        self._stop_reason = ""
        self._abandoned = False

    def start(self, job: Job, source: SourceId) -> bool:
        """Work on a job, unless it runs already or its result is known: no node runs a job twice.

        A result that was refused is sent again, since the source asks for it again.
        """
        key = JobKey(source, self._spec.node_id, job.job_id)
        if reason := self._reason_to_skip(key):
            self._around.events.emit(JobSkipped(key, reason))
            if self._around.sender.keeping(key) is Keeping.DEAD:
                self._tasks.start(self._around.sender.send_again(key), name=f"send job {key.job} again")
            return False
        around, clock = self._around, self._around.clock
        received_at, started = clock.wall(), clock.monotonic()
        around.events.emit(JobClaimed(key, job.payload.model, job.kind))
        work = self._looked_at(job.payload)
        if isinstance(work, _OUTCOMES):
            finished = FinishedJob(key, work, received_at, clock.wall(), job.receipt)
            if around.sender.put_now(finished):
                around.events.emit(_ended_event(finished, clock.monotonic() - started, ""))
                return True
        interrupt = self._interrupts.pop() if self._interrupts else Interrupt()
        open_job = _OpenJob(job, key, received_at, started, interrupt)
        self._open[key] = open_job
        self.busy += 1
        self._tasks.start(self._run(open_job, work), name=f"job {key.job}", on_done=partial(self._close, open_job))
        return True

    def stop(self, reason: str) -> None:
        """End what is open, and what is started from now on: each is answered with an error that gives this reason."""
        self._stop_reason = self._stop_reason or reason
        for open_job in self._open.values():
            # Not at once: the job itself may be the caller, by an event of its executor.
            open_job.interrupt.trigger_in(0)

    async def abandon(self) -> None:
        """Give up what does not end by itself: an executor that is not to be stopped, a disk that takes nothing.

        The results of those that have one, and an error for those that have none, are left to the sender to keep.
        Takes half a second at most.
        """
        self._abandoned = True
        left = list(self._open.values())
        if not left:
            return
        # What ignores a cancellation is left behind: its result, if it ever has one, comes too late.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ABANDON_S):
                await self._tasks.cancel()
        for open_job in left:
            if not open_job.is_kept:
                failure = Failure(self._stop_reason or "the node was stopped", open_job.job.payload.model)
                finished = open_job.finished or self._finish(open_job, failure)
                self._around.sender.keep_trying(finished, partial(self._kept, open_job, finished))

    def _reason_to_skip(self, key: JobKey) -> str:
        if self._open and key in self._open:
            return "it is being worked on"
        keeping = self._around.sender.keeping(key)
        if keeping is _UNKNOWN:
            return ""
        match keeping:
            case Keeping.PENDING:
                return "its result waits to be sent"
            case Keeping.ACCEPTED:
                return "its result was accepted"
            case Keeping.DEAD:
                return "its result was refused before, and is sent again"
            case _:
                assert_never(keeping)

    def _close(self, open_job: _OpenJob) -> None:
        del self._open[open_job.key]
        self.busy -= 1
        self._interrupts.append(open_job.interrupt)
        if not open_job.is_kept and not self._abandoned:
            self._around.events.emit(ResultLost(open_job.key, "a defect of the program ended the job"))
        self._on_free()

    def _tell_crash(self, told: Crash) -> None:
        self._around.events.emit(told._replace(node=self._spec.node_id))

    def _looked_at(self, payload: Payload | MalformedPayload) -> Success | Failure | Payload:
        """What comes of a job that takes no time; of any other what is to be executed."""
        if isinstance(payload, MalformedPayload):
            return Failure(payload.reason, payload.model)
        payload = self._capped(payload)
        if self._answer_now is None or self._stop_reason:
            return payload
        try:
            output = self._answer_now(payload)
        except Exception:  # noqa: BLE001 - a defect is met again, and told of, when the job is executed
            return payload
        return payload if output is None else Success(output)

    async def _run(self, open_job: _OpenJob, work: Success | Failure | Payload) -> None:
        outcome = work if isinstance(work, _OUTCOMES) else await self._execute(open_job, work)
        finished = self._finish(open_job, outcome)
        kept = partial(self._kept, open_job, finished)
        attempt = 0
        while not open_job.is_kept:
            try:
                await self._around.sender.put(finished, kept)
            except StorageError as error:
                self._around.events.emit(ResultUnsafe(finished.key, str(error)))
            else:
                continue
            attempt += 1
            # The slot stays busy: a node whose disk takes nothing must not take more work.
            await Bell().wait(self._around.policy.back_off.draw(attempt, self._around.random))

    def _finish(self, open_job: _OpenJob, outcome: Success | Failure) -> FinishedJob:
        clock = self._around.clock
        open_job.took_s = clock.monotonic() - open_job.started
        finished = FinishedJob(open_job.key, outcome, open_job.received_at, clock.wall(), open_job.job.receipt)
        open_job.finished = finished
        return finished

    async def _execute(self, open_job: _OpenJob, payload: Payload) -> Success | Failure:
        if self._stop_reason:
            return Failure(self._stop_reason, payload.model)
        try:
            with open_job.interrupt:
                open_job.interrupt.trigger_in(self._time_limit_s(open_job.job))
                output = await self._around.executor.execute(self._traced(payload, open_job.key))
        except Interrupted:
            return Failure(self._reason_for_end(open_job.job), payload.model)
        except ExecutorError as error:
            open_job.error = str(error)
            return Failure(error.told, payload.model)
        except Exception as error:  # noqa: BLE001 - a defect in an executor must not leave the job unanswered
            self._around.events.emit(crash(f"job {open_job.key.job}", error, self._spec.node_id))
            return Failure("the node failed on this job", payload.model)
        return Success(output)

    def _reason_for_end(self, job: Job) -> str:
        return self._stop_reason or f"not done within {self._time_limit_s(job):g} s"

    def _time_limit_s(self, job: Job) -> float:
        policy = self._around.policy
        if job.time_limit_s is None or not policy.heeds_job_limits:
            return policy.job_deadline_s
        return min(policy.job_deadline_s, job.time_limit_s)

    def _capped(self, payload: Payload) -> Payload:
        if not isinstance(payload, ChatPayload):
            return payload
        ceiling = self._around.policy.default_max_output
        allowed = min(payload.max_output or ceiling, ceiling)
        return payload if allowed == payload.max_output else payload._replace(max_output=allowed)

    def _traced(self, payload: Payload, key: JobKey) -> Payload:
        context = self._around.traces.context(key)
        return payload if context is payload.trace else payload._replace(trace=context)

    def _kept(self, open_job: _OpenJob, finished: FinishedJob) -> None:
        if not open_job.is_kept:
            open_job.is_kept = True
            self._around.events.emit(_ended_event(finished, open_job.took_s, open_job.error))


def _ended_event(finished: FinishedJob, took_s: float, error: str) -> JobEnded:
    outcome = finished.outcome
    if isinstance(outcome, Failure):
        return JobEnded(finished.key, "", outcome.model, took_s, output_tokens=None, error=error or outcome.reason)
    made = outcome.output
    if isinstance(made, Embeddings):
        return JobEnded(
            finished.key, made.executor, made.model, took_s, output_tokens=None, prompt_tokens=made.prompt_tokens
        )
    return JobEnded(
        finished.key,
        made.executor,
        made.model,
        took_s,
        made.output_tokens,
        "",
        made.prompt_tokens,
        made.first_token_s,
        made.finish_reason,
    )
