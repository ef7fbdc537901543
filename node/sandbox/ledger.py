"""What became of every job, and the sums that a run is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any, Literal, NamedTuple

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.sandbox.broker import Ticket

Status = Literal["success", "error"]


class Claim(NamedTuple):
    """A job was handed to a node; ``at`` is Unix time in seconds."""

    node: NodeId
    at: float


class Answer(NamedTuple):
    """The one result that was accepted; ``at`` is Unix time in seconds, ``result`` the JSON of a `ResultBody`."""

    node: NodeId
    at: float
    status: Status
    model_name: str
    result: bytes


@dataclass(slots=True, eq=False)
class JobRecord:
    """One job. ``seq`` counts submissions from 1; ``submitted_at`` is Unix time in seconds."""

    job_id: JobId
    seq: int
    model: str
    api_key: Secret
    submitted_at: float
    body: bytes = field(repr=False)
    """The JSON of its `JobData`, ready to be handed out; empty once there is an answer."""
    claims: list[Claim] = field(default_factory=list)
    answer: Answer | None = field(default=None, repr=False)
    refused: int = 0
    """Results that came after the answer."""
    returned_at: float = -math.inf
    """Monotonic time at which it was last queued again."""

    @property
    def ticket(self) -> Ticket:
        """Its place in the queue."""
        return Ticket(self.job_id, self.model, self.seq)

    def claimed_by(self, node: NodeId) -> bool:
        """Whether the job was ever handed to this node."""
        return any(claim.node == node for claim in self.claims)

    def row(self) -> dict[str, Any]:
        """The job for a report: no prompt, no answer, no key."""
        answer = self.answer
        return {
            "job_id": self.job_id,
            "seq": self.seq,
            "model": self.model,
            "submitted_at": self.submitted_at,
            "claims": [{"node": claim.node, "at": claim.at} for claim in self.claims],
            "accepted": None
            if answer is None
            else {"node": answer.node, "at": answer.at, "status": answer.status, "model_name": answer.model_name},
            "refused": self.refused,
        }


@dataclass(slots=True)
class Counts:
    """Sums over jobs, those included that have been forgotten."""

    submitted: int = 0
    claimed: int = 0
    """Jobs handed out at least once."""
    claims: int = 0
    """Times that a job was handed out."""
    returned: int = 0
    """Times that a job was queued again: its lease ran out or was given up."""
    succeeded: int = 0
    failed: int = 0
    duplicates_refused: int = 0
    """Results for jobs that had their answer."""
    unknown_results: int = 0
    """Results for jobs that are unknown, or unknown to their sender."""

    def add(self, job: JobRecord) -> None:
        """Count what a job's record shows."""
        self.submitted += 1
        self.claims += len(job.claims)
        self.claimed += bool(job.claims)
        if job.answer is not None:
            self.count(job.answer.status)

    def count(self, status: Status) -> None:
        """Count an accepted result."""
        if status == "success":
            self.succeeded += 1
        else:
            self.failed += 1


class Totals(NamedTuple):
    """The ledger at one moment. Always: ``submitted == pending + leased + accepted``.

    ``redelivered`` are claims beyond a job's first, ``points`` what all nodes have earned together. ``lost`` are jobs
    that were claimed, have no answer, are not queued and not leased: a defect of the gateway, if there is any.
    """

    submitted: int
    claimed: int
    claims: int
    redelivered: int
    returned: int
    accepted: int
    succeeded: int
    failed: int
    pending: int
    leased: int
    lost: int
    duplicates_refused: int
    unknown_results: int
    points: float


class Ledger:
    """All jobs by id, oldest first. Answered ones are forgotten when they are old, and stay in the sums."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._forgotten = Counts()
        self._jobs: dict[JobId, JobRecord] = {}
        self._answered: dict[JobId, JobRecord] = {}
        self._open_claimed: dict[JobId, JobRecord] = {}
        self._last_seq = 0

    def next_seq(self) -> int:
        """The number of the next job."""
        self._last_seq += 1
        return self._last_seq

    def restore(self, forgotten: Counts, records: Sequence[JobRecord]) -> None:
        """Begin with what a journal kept: sums as `unshown` told them, records in the order of their numbers."""
        self._forgotten = forgotten
        self.counts = replace(forgotten)
        for job in records:
            self._jobs[job.job_id] = job
            self.counts.add(job)
            if job.claims and job.answer is None:
                self._open_claimed[job.job_id] = job
        self._last_seq = max([self.counts.submitted, *(job.seq for job in records[-1:])])
        answered = (job for job in records if job.answer is not None)
        for job in sorted(answered, key=lambda job: job.answer.at if job.answer else 0.0):
            self._answered[job.job_id] = job

    def find(self, job_id: str) -> JobRecord | None:
        """The job of this id, if it is known."""
        return self._jobs.get(JobId(job_id))

    @property
    def accepted(self) -> int:
        """How many jobs have an answer."""
        return self.counts.succeeded + self.counts.failed

    @property
    def unanswered(self) -> int:
        """How many jobs have none."""
        return self.counts.submitted - self.accepted

    def submitted(self, job: JobRecord) -> None:
        """Take up a new job."""
        self._jobs[job.job_id] = job
        self.counts.submitted += 1

    def claimed(self, job: JobRecord, claim: Claim) -> None:
        """The job was handed to a node."""
        self.counts.claims += 1
        self.counts.claimed += not job.claims
        job.claims.append(claim)
        if job.answer is None:
            self._open_claimed[job.job_id] = job

    def returned(self, job_id: JobId, now: float) -> JobRecord:
        """A known job is queued again; ``now`` is monotonic time in seconds. Its record."""
        self.counts.returned += 1
        job = self._jobs[job_id]
        job.returned_at = now
        return job

    def answered(self, job: JobRecord, answer: Answer) -> None:
        """The job's result was accepted.

        Raises:
            RuntimeError: it had one before; a result counts once.
        """
        if job.answer is not None:
            raise RuntimeError(f"job {job.job_id} is answered already")
        job.answer = answer
        job.body = b""
        self.counts.count(answer.status)
        self._open_claimed.pop(job.job_id, None)
        self._answered[job.job_id] = job

    def refused(self, job: JobRecord) -> None:
        """A result came after the answer."""
        job.refused += 1
        self.counts.duplicates_refused += 1

    def unknown(self) -> None:
        """A result came for a job that its sender cannot know."""
        self.counts.unknown_results += 1

    def stale(self, before: float, keep: int) -> list[JobRecord]:
        """The answered jobs to forget, oldest first: answered before this Unix time, or those beyond ``keep`` jobs."""
        surplus = len(self._answered) - keep

        def is_stale(place: tuple[int, JobRecord]) -> bool:
            index, job = place
            return index < surplus or (job.answer is not None and job.answer.at < before)

        return [job for _, job in takewhile(is_stale, enumerate(self._answered.values()))]

    def unshown(self, gone: Sequence[JobRecord] = ()) -> Counts:
        """The part of the sums that no record shows once these are gone: what a journal keeps beside the records."""
        sums = replace(
            self._forgotten,
            returned=self.counts.returned,
            duplicates_refused=self.counts.duplicates_refused,
            unknown_results=self.counts.unknown_results,
        )
        for job in gone:
            sums.add(job)
        return sums

    def forget(self, gone: Sequence[JobRecord]) -> None:
        """Drop answered jobs; they stay in the sums."""
        self._forgotten = self.unshown(gone)
        for job in gone:
            del self._jobs[job.job_id]
            del self._answered[job.job_id]

    def lost(self, is_held: Callable[[JobId], bool]) -> int:
        """How many jobs were claimed, have no answer, and for which ``is_held`` (queued or leased) is false."""
        return sum(not is_held(job_id) for job_id in self._open_claimed)

    def rows(self, after_seq: int, limit: int) -> list[dict[str, Any]]:
        """Up to ``limit`` jobs for a report, those numbered above ``after_seq``, oldest first."""
        later: Iterator[JobRecord] = (job for job in self._jobs.values() if job.seq > after_seq)
        return [job.row() for job in islice(later, limit)]
