"""Jobs and results in memory: for a program that embeds a worker, and for tests of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from node.domain.errors import StepFailed
from node.domain.ids import JobId, SourceId
from node.domain.jobs import Job
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.runtime.signals import Signal

MEMORY: Final = SourceId("memory")
"""The name of a source that is given none."""


class MemorySource:
    """Hands out the jobs that were added, in order and each once, and keeps the first result of each job.

    It is a `node.ports.source.JobSource` that several nodes may share; neither a claim nor a settlement ever
    waits. Faults are played by plan: claims that fail, and results that are not taken.
    """

    def __init__(self, jobs: Iterable[Job] = (), source_id: SourceId = MEMORY) -> None:
        self.results: dict[JobId, FinishedJob] = {}
        """The results taken, by job, in the order of their coming."""
        self._source_id = source_id
        self._jobs = deque(jobs)
        self._failures: deque[StepFailed] = deque()
        self._verdicts: deque[Verdict] = deque()
        self._arrivals: dict[JobId, Signal] = {}

    @property
    def source_id(self) -> SourceId:
        """See `node.ports.source.JobSource.source_id`."""
        return self._source_id

    @property
    def waiting(self) -> int:
        """How many jobs have not been claimed."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Offer a job; one that was offered before is offered again, as after the end of a lease."""
        self._jobs.append(job)

    def fail_claims(self, *failures: StepFailed) -> None:
        """Have the next claims raise these, one each; they take no job."""
        self._failures.extend(failures)

    def refuse_results(self, *verdicts: Verdict) -> None:
        """Answer the next results with these, one each, and take none of them."""
        self._verdicts.extend(verdicts)

    async def result(self, job_id: JobId) -> FinishedJob:
        """Wait for the result of this job; for ever if none is ever taken."""
        if job_id not in self.results:
            await self._arrivals.setdefault(job_id, Signal()).wait()
        return self.results[job_id]

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:  # noqa: ARG002 - never waits
        """See `node.ports.source.JobSource.claim`."""
        if self._failures:
            raise self._failures.popleft()
        return self._jobs.popleft() if self._jobs else None

    async def settle(self, finished: FinishedJob) -> Verdict:
        """See `node.ports.source.JobSource.settle`."""
        if self._verdicts:
            return self._verdicts.popleft()
        job_id = finished.key.job
        if job_id in self.results:
            return Verdict(Ruling.ALREADY)
        self.results[job_id] = finished
        if (arrival := self._arrivals.pop(job_id, None)) is not None:
            arrival.set()
        return Verdict(Ruling.OK)
