"""The audit names each bug of a gateway that is planted, and nothing where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import Credit, GatewayWord
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.report import AuditVerdict
from node.loadtest.audit.views import Said
from tests.unit.loadtest.audit.gateway_model import LEASE_S, Bug, World

POLICY = AuditPolicy(lease_s=LEASE_S)

NAMED: dict[Bug, set[Kind]] = {
    Bug.LOSE_RESULT: {Kind.LOST},
    Bug.DOUBLE_ACCEPT: {Kind.DUPLICATED},
    Bug.DOUBLE_CREDIT: {Kind.DOUBLE_CREDITED},
    Bug.NO_CREDIT: {Kind.UNCREDITED},
    Bug.DOUBLE_DELIVER: {Kind.DOUBLE_DELIVERED},
    Bug.NO_REDELIVERY: {Kind.ORPHANED},
    Bug.LEAK_LEASE: {Kind.LEAKED_LEASE, Kind.ORPHANED},
    Bug.NEVER_HAND_OUT: {Kind.STUCK},
    Bug.ALTER_RESULT: {Kind.ALTERED},
    Bug.RENAME_MODEL: {Kind.WRONG_MODEL},
    Bug.WRONG_JOB_MODEL: {Kind.WRONG_MODEL},
    Bug.INVENT_JOB: {Kind.PHANTOM},
    Bug.INVENT_ANSWER: {Kind.UNCLAIMED_ANSWER},
    Bug.DELIVER_ANSWERED: {Kind.LATE_DELIVERED},
    Bug.FORGET_COUNT: {Kind.MISCOUNTED},
}
"""The kinds of which at least one must name the bug, from public endpoints alone."""

BESIDE: dict[Bug, set[Kind]] = {
    Bug.LEAK_LEASE: {Kind.LOST},
    Bug.DOUBLE_ACCEPT: {Kind.ALTERED},
    Bug.DOUBLE_DELIVER: {Kind.LATE_DELIVERED, Kind.LEAKED_LEASE},
    Bug.INVENT_ANSWER: {Kind.ALTERED, Kind.LATE_DELIVERED},
    Bug.INVENT_JOB: {Kind.UNCLAIMED_ANSWER, Kind.DOUBLE_CREDITED, Kind.DUPLICATED},
}
"""What a bug may bring with it."""


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 3))
def test_a_good_gateway_is_clean_whatever_its_nodes_do(seed: int, deep: bool, shards: int) -> None:
    world = World(seed, shards=shards)
    world.run()
    report = reconcile(world.word(POLICY, deep=deep), world.now)
    assert report.broken == ()
    assert report.verdict is AuditVerdict.CLEAN
    assert report.jobs.submitted == report.jobs.answered == world.jobs
    unknown = {finding.kind for finding in report.findings if finding.count is None}
    assert unknown == ({Kind.INTRUSION} if deep else {Kind.MISCREDITED, Kind.INTRUSION})


@pytest.mark.parametrize("bug", list(Bug))
@pytest.mark.parametrize("deep", [False, True])
def test_a_planted_bug_is_named(bug: Bug, deep: bool) -> None:
    @settings(max_examples=8)
    @given(st.integers(0, 10**6))
    def named(seed: int) -> None:
        world = World(seed, bug)
        world.run()
        report = reconcile(world.word(POLICY, deep=deep), world.now)
        found = {finding.kind for finding in report.broken}
        if not world.gateway.planted or world.is_healed:
            assert not found
            return
        assert found & NAMED[bug], report.to_document()
        assert found <= NAMED[bug] | BESIDE.get(bug, set()), report.to_document()
        assert report.verdict is AuditVerdict.BROKEN

    named()


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([None, Bug.LOSE_RESULT, Bug.DOUBLE_ACCEPT]))
def test_shards_tell_the_same_as_one_process(seed: int, bug: Bug | None) -> None:
    documents = []
    for shards in (1, 3):
        world = World(seed, bug, shards=shards)
        world.run()
        documents.append(reconcile(world.word(POLICY), world.now).to_document())
    for document in documents:
        for finding in document["findings"].values():
            finding["examples"].sort()
    assert documents[0] == documents[1]


@pytest.mark.parametrize(("said", "missing"), [(Said.SUCCESS, 1), (Said.ERROR, 0)])
def test_a_gateway_that_credits_no_failures_is_not_accused(said: Said, missing: int) -> None:
    book, job, node = Book(), JobId("j"), NodeId("n")
    book.submitted(job, "m", 0.0, 0.5)
    book.claimed(job, node, 1.0, "m")
    book.accepted(job, node, 2.0, already=False)
    book.said(job, said)
    word = GatewayWord(book, POLICY, job_credits={node: Credit(0.0, 0.0)})
    assert reconcile(word, 1000.0).count(Kind.UNCREDITED) == missing


def test_a_ledger_that_shows_a_part_of_the_jobs_says_nothing_of_credits() -> None:
    book = Book()
    for number in range(2):
        book.submitted(JobId(f"j{number}"), "m", 0.0, 0.5)
    for rows, count in ((1, None), (2, 0)):
        assert reconcile(GatewayWord(book, POLICY, rows=rows), 1000.0).count(Kind.MISCREDITED) == count


def test_two_nodes_that_may_each_have_done_a_job_are_not_both_credited_with_it() -> None:
    book, job, nodes = Book(), JobId("j"), (NodeId("n"), NodeId("m"))
    book.submitted(job, "m", 0.0, 0.5)
    for node in nodes:
        book.claimed(job, node, 1.0, "m")
        book.ended(job, node, 2.0)
    word = GatewayWord(book, POLICY, job_credits={node: Credit(0.0, 1.0) for node in nodes})
    assert reconcile(word, 1000.0).count(Kind.DOUBLE_CREDITED) == 1


def test_what_a_gateway_does_not_tell_is_unknown_and_never_zero() -> None:
    world = World(1)
    world.run()
    report = reconcile(world.word(POLICY, public=False), world.now)
    unknown = {finding.kind for finding in report.findings if finding.count is None}
    assert unknown == {
        Kind.LOST,
        Kind.DOUBLE_CREDITED,
        Kind.UNCREDITED,
        Kind.MISCREDITED,
        Kind.UNCLAIMED_ANSWER,
        Kind.ALTERED,
        Kind.WRONG_MODEL,
        Kind.MISCOUNTED,
        Kind.INTRUSION,
    }
    assert report.verdict is AuditVerdict.UNKNOWN
    assert report.jobs.answered is None
    assert report.jobs.credited is None
    assert report.to_document()["findings"]["lost"]["count"] is None


def test_on_a_gateway_shared_with_others_jobs_of_unknown_fate_are_not_judged() -> None:
    world = World(1, Bug.NEVER_HAND_OUT)
    world.run()
    shared = AuditPolicy(lease_s=LEASE_S, owns_nodes=False, owns_jobs=False)
    report = reconcile(world.word(shared, public=False), world.now)
    assert report.count(Kind.STUCK) == 0
    assert report.of(Kind.STUCK).judged < world.jobs
    assert report.count(Kind.PHANTOM) is None
    assert report.count(Kind.MISCOUNTED) is None


def test_a_lost_process_leaves_its_share_unknown_and_its_nodes_crashed() -> None:
    world = World(5)
    world.run()
    world.books.pop()
    word = world.word(POLICY)
    word.book.lost_shards = 1
    report = reconcile(word, world.now)
    assert report.broken == ()
    assert report.count(Kind.PHANTOM) is None
    assert report.count(Kind.UNCLAIMED_ANSWER) is None
    assert "1 of the generator's processes were lost" in report.notes[0]


def test_where_there_was_no_job_there_is_nothing_to_audit() -> None:
    report = reconcile(GatewayWord(Book(), POLICY), 0.0)
    assert report.verdict is AuditVerdict.EMPTY
    assert report.verdict.words == "nothing to audit"
    assert AuditVerdict.CLEAN.words == "clean"
    assert report.jobs.submitted == 0


@pytest.mark.parametrize(
    ("owns_jobs", "unconfirmed", "lost_shards", "is_told"),
    [(False, 0, 0, True), (True, 0, 0, False), (False, 1, 0, False), (False, 0, 1, False)],
)
def test_jobs_of_others_that_are_in_the_rates_are_told(
    owns_jobs: bool, unconfirmed: int, lost_shards: int, is_told: bool
) -> None:
    book = Book()
    book.claimed(JobId("theirs"), NodeId("n"), 1.0, "m")
    book.unconfirmed, book.lost_shards = unconfirmed, lost_shards
    report = reconcile(GatewayWord(book, AuditPolicy(lease_s=LEASE_S, owns_jobs=owns_jobs)), 1000.0)
    assert any("1 jobs that this run did not submit" in note for note in report.notes) is is_told
