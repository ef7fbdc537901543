"""What a row of a sandbox's ledger shows by itself: the gateway's own account, on its own clock."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.policy import AuditPolicy
from node.sandbox.job_rows import AnswerRow, ClaimRow, JobRow


def accepted(row: JobRow) -> list[AnswerRow]:
    """The results that were taken."""
    return [answer for answer in row.answers if answer.receipt == "accepted"]


def kinds_of(row: JobRow, policy: AuditPolicy) -> Iterator[Kind]:
    """What is wrong with the job. Whether it has its result is for the judge, who knows what nodes saw."""
    taken = accepted(row)
    if row.submitted_at is None and policy.owns_jobs:
        yield Kind.PHANTOM
    if len(taken) > policy.copies:
        yield Kind.DUPLICATED
    if {answer.node for answer in taken} - {claim.node for claim in row.claims}:
        yield Kind.UNCLAIMED_ANSWER
    if any(_goes_on(row, answer) for answer in taken[policy.copies - 1 :]):
        yield Kind.LEAKED_LEASE
    late = [claim for claim in row.claims if _taken_before(taken, claim) >= policy.copies]
    if any(_running(row, claim, policy.slack_s) >= policy.copies for claim in row.claims if claim not in late):
        yield Kind.DOUBLE_DELIVERED
    if late:
        yield Kind.LATE_DELIVERED
    yield from _credit_kinds(row, taken, policy)


def _credit_kinds(row: JobRow, taken: list[AnswerRow], policy: AuditPolicy) -> Iterator[Kind]:
    if len(row.credits) > policy.copies:
        yield Kind.DOUBLE_CREDITED
    if not row.credits and any(answer.status == "success" for answer in taken):
        yield Kind.UNCREDITED
    if set(row.credits) - {answer.node for answer in taken}:
        yield Kind.MISCREDITED


def _goes_on(row: JobRow, answer: AnswerRow) -> bool:
    """Whether the last lease before a result was taken ran then, and did not end by it."""
    last = max((claim for claim in row.claims if claim.at < answer.at), key=lambda claim: claim.at, default=None)
    # A gateway that was restarted has forgotten until when its leases ran.
    if last is None or last.until is None or last.ended in {"answered", "left"}:
        return False
    return last.ended_at is None or last.ended_at > answer.at


def _running(row: JobRow, later: ClaimRow, slack_s: float) -> int:
    """How many leases of the job surely were promised to run on when a later claim began."""
    return sum(claim.at < later.at < _promised(claim) - slack_s for claim in row.claims)


def _promised(claim: ClaimRow) -> float:
    """Until when a lease was to run: a lapse before its time does not shorten it, an answer or a departure does."""
    if claim.until is None:
        return -inf
    if claim.ended == "lapsed" or claim.ended_at is None:
        return claim.until
    return min(claim.until, claim.ended_at)


def _taken_before(taken: list[AnswerRow], claim: ClaimRow) -> int:
    return sum(answer.at < claim.at for answer in taken)
