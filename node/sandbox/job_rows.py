"""The ledger's rows as an audit reads them: short, a line of JSON each, without prompts, answers and keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from node.domain.ids import JobId, NodeId
from node.sandbox.jobs import Answer, HowEnded, JobRecord, JobState, Receipt
from node.sandbox.sums import Status


class ClaimRow(NamedTuple):
    """A job was handed to a node, for as long as its lease was promised to last: see `node.sandbox.jobs.Claim`."""

    node: NodeId
    at: float
    until: float | None
    ended: HowEnded | None
    ended_at: float | None


class AnswerRow(NamedTuple):
    """A result that came, and what became of it.

    ``model`` and ``digest`` are empty but for the last one accepted, which is the one that ``/get_result`` tells: the
    model that it names, and `result_digest` of what is stored.
    """

    node: NodeId
    at: float
    receipt: Receipt
    status: Status
    model: str
    digest: str


class JobRow(NamedTuple):
    """A job; times are Unix seconds by the gateway's clock, rounded to microseconds.

    ``submitted_at`` is None of a job that nobody submitted. ``claims`` and ``answers`` are in the order of time,
    ``credits`` name a node once for each time that it was credited for this job. ``refused`` counts results that came
    after the answer: ``answers`` has a hundred of them at most.
    """

    seq: int
    job_id: JobId
    model: str
    submitted_at: float | None
    state: JobState
    claims: tuple[ClaimRow, ...]
    answers: tuple[AnswerRow, ...]
    credits: tuple[NodeId, ...]
    refused: int


def encode(job: JobRecord, state: JobState) -> bytes:
    """The job's row: a JSON array with the fields of `JobRow` in their order, those of its parts likewise."""
    row = (
        job.seq,
        job.job_id,
        job.model,
        None if math.isnan(job.submitted_at) else round(job.submitted_at, 6),
        state,
        [
            (claim.node, round(claim.at, 6), _short(claim.until), claim.ended, _short(claim.ended_at))
            for claim in job.claims
        ],
        _answers(job),
        job.credits,
        job.refused,
    )
    return to_json(row)


def decode(row: Sequence[Any]) -> JobRow:
    """A row as JSON made it; the reading side of `encode`.

    Raises:
        ValueError: it is no row.
    """
    try:
        seq, job_id, model, submitted_at, state, claims, answers, credited, refused = row
        return JobRow(
            seq=int(seq),
            job_id=JobId(job_id),
            model=model,
            submitted_at=submitted_at,
            state=state,
            claims=tuple(ClaimRow(*claim) for claim in claims),
            answers=tuple(AnswerRow(*answer) for answer in answers),
            credits=tuple(credited),
            refused=int(refused),
        )
    except TypeError as error:
        raise ValueError(f"this is no row of the ledger: {error}") from error


def result_digest(status: str, content: str, error: str | None) -> str:
    """16 hexadecimal digits that tell results apart: BLAKE2b, 8 bytes, of status, content and a failure's reason.

    The three are joined by NUL characters and encoded as UTF-8; the reason of a success counts as empty.
    """
    reason = (error or "") if status == "error" else ""
    return blake2b(f"{status}\0{content}\0{reason}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def _answers(job: JobRecord) -> list[tuple[object, ...]]:
    answers: list[tuple[object, ...]] = [
        (received.node, round(received.at, 6), received.receipt, received.status, "", "") for received in job.received
    ]
    if job.answer is not None:
        answers.append(_accepted(job.answer))
        answers.sort(key=_order)
    return answers


def _accepted(answer: Answer) -> tuple[object, ...]:
    result = from_json(answer.result)
    digest = result_digest(answer.status, result["message"]["content"], result.get("error"))
    return (answer.node, round(answer.at, 6), "accepted", answer.status, answer.model_name, digest)


def _order(answer: tuple[Any, ...]) -> tuple[float, bool]:
    """By time; of one moment, those that were refused for the answer come after it."""
    return answer[1], answer[2] == "duplicate"


def _short(at: float | None) -> float | None:
    return None if at is None else round(at, 6)
