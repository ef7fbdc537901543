"""What became of every job."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import Any, Final

from node.domain.ids import JobId, NodeId
from node.sandbox.archive import BLOCK, Archive
from node.sandbox.job_rows import encode
from node.sandbox.jobs import Answer, Claim, HowEnded, JobRecord, JobState, Receipt, Received
from node.sandbox.sums import Counts, Status

MAX_BLOCKS: Final = 64
"""Blocks of numbers that are looked through for one page of rows."""


class Ledger:
    """All jobs by id, oldest first. Answered ones are forgotten when they are old, and stay in the sums.

    Of up to ``keep_rows`` forgotten jobs the rows are kept for `pages`.
    """

    def __init__(self, keep_rows: int = 0) -> None:
        self.counts = Counts()
        self._forgotten = Counts()
        self._archive = Archive(keep_rows)
        self._jobs: dict[JobId, JobRecord] = {}
        self._blocks: dict[int, dict[int, JobRecord]] = {}
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
            self.take_up(job)
            _add(self.counts, job)
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
        """How many results were accepted."""
        return self.counts.succeeded + self.counts.failed

    @property
    def dropped_rows(self) -> int:
        """How many forgotten jobs have no row any more."""
        return self._archive.dropped

    def take_up(self, job: JobRecord) -> None:
        """Know a job from now on, without counting it."""
        self._jobs[job.job_id] = job
        self._blocks.setdefault(job.seq // BLOCK, {})[job.seq] = job

    def submitted(self, job: JobRecord) -> None:
        """Take up a new job, and count it."""
        self.take_up(job)
        self.counts.submitted += 1

    def claimed(self, job: JobRecord, claim: Claim) -> None:
        """The job was handed to a node."""
        self.counts.claims += 1
        self.counts.claimed += not job.claims
        job.claims.append(claim)
        if job.answer is None:
            self._open_claimed[job.job_id] = job

    def lease_ended(self, job_id: JobId, node: NodeId, how: HowEnded, at: float) -> None:
        """The node's lease of a job ended at this Unix time; the job may have been forgotten."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.lease_ended(node, how, at)

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

    def answered_again(self, job: JobRecord, answer: Answer) -> None:
        """The result of a job that has one was accepted: a bug of the gateway. The former one is noted beside it."""
        former = job.answer
        if former is not None:
            job.note(Received(former.node, former.at, "accepted", former.status))
        job.answer = answer
        self.counts.count(answer.status)

    def refused(self, job: JobRecord, received: Received) -> None:
        """A result came after the answer."""
        job.refused += 1
        job.note(received)
        self.counts.duplicates_refused += 1

    def unknown(self, job: JobRecord | None, node: NodeId, at: float, status: Status) -> None:
        """A result came for a job that its sender cannot know."""
        self.counts.unknown_results += 1
        if job is not None:
            self.noted(job, node, at, "unclaimed", status)

    def noted(self, job: JobRecord, node: NodeId, at: float, receipt: Receipt, status: Status) -> None:
        """A result came and counts nowhere."""
        job.note(Received(node, at, receipt, status))

    def stale(self, before: float, keep: int, most: int) -> list[JobRecord]:
        """Answered jobs to forget, oldest first, up to ``most``.

        They were answered before this Unix time, or are those beyond ``keep`` jobs.
        """
        surplus = len(self._answered) - keep

        def is_stale(place: tuple[int, JobRecord]) -> bool:
            index, job = place
            return index < surplus or (job.answer is not None and job.answer.at < before)

        oldest = islice(self._answered.values(), most)
        return [job for _, job in takewhile(is_stale, enumerate(oldest))]

    def unshown(self, gone: Sequence[JobRecord] = ()) -> Counts:
        """The part of the sums that no record shows once these are gone: what a journal keeps beside the records."""
        sums = replace(
            self._forgotten,
            returned=self.counts.returned,
            duplicates_refused=self.counts.duplicates_refused,
            unknown_results=self.counts.unknown_results,
        )
        for job in gone:
            _add(sums, job)
        return sums

    def forget(self, gone: Sequence[JobRecord]) -> None:
        """Drop answered jobs; they stay in the sums."""
        self._forgotten = self.unshown(gone)
        for job in gone:
            self._archive.put(job.seq, encode(job, "answered"))
            del self._jobs[job.job_id]
            del self._answered[job.job_id]
            block = self._blocks[job.seq // BLOCK]
            del block[job.seq]
            if not block:
                del self._blocks[job.seq // BLOCK]

    def lost(self, is_held: Callable[[JobId], bool]) -> int:
        """How many jobs were claimed, have no answer, and for which ``is_held`` (queued or leased) is false."""
        return sum(not is_held(job_id) for job_id in self._open_claimed)

    def rows(self, after_seq: int, limit: int, state: Callable[[JobRecord], JobState]) -> list[dict[str, Any]]:
        """Up to ``limit`` jobs for a report, those numbered above ``after_seq``, lowest first; forgotten ones are none."""
        return [job.row(state(job)) for job in islice(self._known_after(after_seq), limit)]

    def page(
        self, after_seq: int, limit: int, state: Callable[[JobRecord], JobState]
    ) -> tuple[list[bytes], int | None]:
        """Up to ``limit`` rows (see `node.sandbox.job_rows`) of jobs numbered above ``after_seq``, lowest first.

        The second part is where the next page begins, None after the last job. Each job is in one page, also when it
        is forgotten between two of them. A page may be short, even empty: `MAX_BLOCKS` blocks are looked through.
        """
        rows: list[bytes] = []
        first = (after_seq + 1) // BLOCK
        for number in range(first, first + MAX_BLOCKS):
            if number * BLOCK > self._last_seq:
                return rows, None
            kept, known = self._archive.block(number), self._blocks.get(number, {})
            for seq in sorted(seq for seq in (*kept, *known) if seq > after_seq):
                if len(rows) == limit:
                    return rows, after_seq
                job = known.get(seq)
                rows.append(kept[seq] if job is None else encode(job, state(job)))
                after_seq = seq
        return rows, max(after_seq, (first + MAX_BLOCKS) * BLOCK - 1)

    def _known_after(self, after_seq: int) -> Iterator[JobRecord]:
        for number in sorted(number for number in self._blocks if number >= (after_seq + 1) // BLOCK):
            block = self._blocks[number]
            yield from (block[seq] for seq in sorted(block) if seq > after_seq)


def _add(sums: Counts, job: JobRecord) -> None:
    """Count what a job's record shows."""
    sums.submitted += not math.isnan(job.submitted_at)
    sums.claims += len(job.claims)
    sums.claimed += bool(job.claims)
    if job.answer is not None:
        sums.count(job.answer.status)
