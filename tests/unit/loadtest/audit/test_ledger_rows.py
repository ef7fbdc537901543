"""What a row of the sandbox's ledger shows by itself."""

from __future__ import annotations

import json

import pytest

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.ledger_rows import kinds_of
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.views import Held, Said
from node.sandbox.job_rows import AnswerRow, ClaimRow, JobRow, decode

N, M = NodeId("n"), NodeId("m")
ONE = AuditPolicy()
TAKEN = AnswerRow(N, 15.0, "accepted", "success", "m", "00000000000000ff")
GOOD = JobRow(1, JobId("j"), "m", 0.0, "answered", (ClaimRow(N, 10.0, 30.0, "answered", 15.0),), (TAKEN,), (N,), 0)


def first(**changes: object) -> ClaimRow:
    return GOOD.claims[0]._replace(**changes)  # type: ignore[arg-type]


def shown(policy: AuditPolicy = ONE, **changes: object) -> set[Kind]:
    return set(kinds_of(GOOD._replace(**changes), policy))  # type: ignore[arg-type]


def test_a_good_row_shows_nothing() -> None:
    assert shown() == set()
    failed = TAKEN._replace(status="error")
    assert shown(answers=(failed,), credits=()) == set()
    assert shown(answers=(TAKEN, TAKEN._replace(receipt="duplicate", at=17.0)), refused=1) == set()


@pytest.mark.parametrize(
    ("ended", "ended_at", "again_at", "kinds"),
    [
        ("lapsed", 30.0, 31.0, set()),
        ("lapsed", 29.9990, 29.9995, set()),
        ("lapsed", 29.0, 29.1, set()),
        ("lapsed", 28.8, 28.9, {Kind.DOUBLE_DELIVERED}),
        ("lapsed", 20.0, 21.0, {Kind.DOUBLE_DELIVERED}),
        ("left", 20.0, 21.0, set()),
        (None, None, 21.0, {Kind.DOUBLE_DELIVERED}),
        (None, None, 31.0, set()),
    ],
)
def test_a_second_claim(ended: str | None, ended_at: float | None, again_at: float, kinds: set[Kind]) -> None:
    again = ClaimRow(M, again_at, again_at + 20, "answered", again_at + 1)
    taken = TAKEN._replace(node=M, at=again_at + 1)
    claims = (first(ended=ended, ended_at=ended_at), again)
    assert shown(claims=claims, answers=(taken,), credits=(M,)) == kinds
    assert shown(AuditPolicy(copies=2), claims=claims, answers=(taken,), credits=(M,)) == set()


@pytest.mark.parametrize(("ended", "ended_at"), [(None, None), ("lapsed", 30.0)])
def test_a_lease_that_goes_on_after_the_result(ended: str | None, ended_at: float | None) -> None:
    leaked = first(ended=ended, ended_at=ended_at)
    assert shown(claims=(leaked,)) == {Kind.LEAKED_LEASE}
    again = ClaimRow(M, 31.0, 51.0, "answered", 33.0)
    assert shown(claims=(leaked, again)) == {Kind.LEAKED_LEASE, Kind.LATE_DELIVERED}


def test_what_a_restart_has_forgotten_is_no_finding() -> None:
    forgotten = first(until=None, ended=None, ended_at=None)
    assert shown(claims=(forgotten,)) == set()
    later = ClaimRow(M, 12.0, 32.0, "answered", 15.0)
    assert shown(claims=(forgotten, later), answers=(TAKEN._replace(node=M),), credits=(M,)) == set()


def test_results_and_credits() -> None:
    other = TAKEN._replace(node=M, at=16.0)
    assert shown(answers=(TAKEN, other), claims=(first(), ClaimRow(M, 1.0, 9.0, "lapsed", 9.0))) == {Kind.DUPLICATED}
    assert shown(answers=(other._replace(at=15.0),), credits=(M,)) == {Kind.UNCLAIMED_ANSWER}
    assert shown(credits=(N, N)) == {Kind.DOUBLE_CREDITED}
    assert shown(credits=()) == {Kind.UNCREDITED}
    assert shown(credits=(M,)) == {Kind.MISCREDITED}
    assert shown(submitted_at=None) == {Kind.PHANTOM}
    assert shown(AuditPolicy(owns_jobs=False), submitted_at=None) == set()


def test_what_two_clocks_of_one_gateway_may_be_apart_is_the_policys() -> None:
    claims = (first(ended="lapsed", ended_at=29.9), ClaimRow(M, 29.95, 50.0, "answered", 31.0))
    taken = (TAKEN._replace(node=M, at=31.0),)
    for slack_s, kinds in ((0.0, {Kind.DOUBLE_DELIVERED}), (0.1, set())):
        assert shown(AuditPolicy(slack_s=slack_s), claims=claims, answers=taken, credits=(M,)) == kinds


def test_a_lease_that_nobody_named_is_learnt_from_the_ledger() -> None:
    word = GatewayWord(Book(), AuditPolicy(lease_s=None))
    word.take_row(GOOD._replace(claims=(first(until=None),)))
    assert word.policy.lease_s is None
    word.take_row(GOOD)
    assert word.policy.lease_s == 20.0
    word.take_row(GOOD._replace(claims=(first(until=99.0),)))
    assert word.policy.lease_s == 20.0


def test_a_row_tells_where_a_job_is_and_stands_in_for_a_look_at_its_result() -> None:
    word = GatewayWord(Book(), ONE)
    word.take_row(decode(json.loads(json.dumps(GOOD))))
    job = word.book.view(JobId("j"))
    assert (job.held, job.handed, job.handed_at, job.handed_to) == (Held.ANSWERED, 1, 10.0, N)
    assert (job.said, job.stored, job.stored_model) == (Said.SUCCESS, 255, "m")
    assert word.is_ledger_whole
    asked = GatewayWord(Book(), ONE)
    asked.book.said(JobId("j"), Said.PENDING)
    asked.take_row(GOOD)
    assert asked.book.view(JobId("j")).said is Said.PENDING
