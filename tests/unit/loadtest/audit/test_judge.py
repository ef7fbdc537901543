"""Single rules of the audit, at their edges."""

from __future__ import annotations

from typing import Any

import pytest

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import Credit, GatewayWord
from node.loadtest.audit.judge import Judge
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.report import AuditReport
from node.loadtest.audit.views import Held, Said

J, N, M, K = JobId("j"), NodeId("n"), NodeId("m"), NodeId("k")
T0 = 1_800_000_000.0
LEASE_S = 60.0


def judged(book: Book, settled_s: float = 1000.0, **policy: Any) -> set[Kind]:
    judge = Judge(book.presences, AuditPolicy(**{"lease_s": LEASE_S, **policy}), T0 + settled_s)
    return set(judge.kinds(book.view(J)))


def audited(book: Book, settled_s: float = 1000.0, word: GatewayWord | None = None) -> AuditReport:
    return reconcile(word or GatewayWord(book, AuditPolicy(lease_s=LEASE_S)), T0 + settled_s)


def submitted() -> Book:
    book = Book()
    book.submitted(J, "m", T0, T0)
    return book


@pytest.mark.parametrize(
    ("held", "gone", "settled_s", "kind"),
    [
        (Held.UNTOLD, True, 1000, Kind.ORPHANED),
        (Held.UNTOLD, True, 30, Kind.STUCK),
        (Held.UNTOLD, False, 1000, Kind.LEAKED_LEASE),
        (Held.UNTOLD, False, 30, Kind.STUCK),
        (Held.LEASED, True, 1000, Kind.LEAKED_LEASE),
        (Held.LEASED, False, 30, Kind.STUCK),
        (Held.QUEUED, True, 1000, Kind.STUCK),
        (Held.NOWHERE, True, 1000, Kind.ORPHANED),
        (Held.NOWHERE, False, 1000, Kind.LOST),
    ],
)
def test_a_claimed_job_without_a_result(held: Held, gone: bool, settled_s: float, kind: Kind) -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    if gone:
        book.presences.gone([N], T0 + 5)
    if held:
        book.handed(J, 1, T0 + 1, N, held)
    book.said(J, Said.PENDING)
    assert judged(book, settled_s) == {kind}


@pytest.mark.parametrize(
    ("held", "gone", "kind"),
    [
        (Held.UNTOLD, True, Kind.STUCK),
        (Held.UNTOLD, False, Kind.STUCK),
        (Held.LEASED, True, Kind.STUCK),
        (Held.QUEUED, True, Kind.STUCK),
        (Held.NOWHERE, True, Kind.ORPHANED),
        (Held.NOWHERE, False, Kind.LOST),
    ],
)
def test_a_claimed_job_without_a_result_where_the_lease_is_not_known(held: Held, gone: bool, kind: Kind) -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    if gone:
        book.presences.gone([N], T0 + 5)
    if held:
        book.handed(J, 1, T0 + 1, N, held)
    book.said(J, Said.PENDING)
    assert judged(book, lease_s=None) == {kind}
    report = audited(book, word=GatewayWord(book, AuditPolicy(lease_s=None)))
    doubtful = held in {Held.UNTOLD, Held.LEASED}
    assert (report.count(Kind.LEAKED_LEASE) is None) is doubtful
    assert (report.count(Kind.ORPHANED) is None) is doubtful
    assert report.notes == (("the gateway's lease is not known: what hangs on it cannot be told",) if doubtful else ())


def test_a_second_delivery_is_not_judged_where_the_lease_is_not_known() -> None:
    book = submitted()
    book.claimed(J, N, T0, "m")
    book.said(J, Said.SUCCESS)
    word = GatewayWord(book, AuditPolicy(lease_s=None))
    assert audited(book, word=word).count(Kind.DOUBLE_DELIVERED) == 0
    book.claimed(J, M, T0 + 1, "m")
    report = audited(book, word=word)
    assert report.count(Kind.DOUBLE_DELIVERED) is None
    assert report.count(Kind.ORPHANED) == 0, "all jobs have a result"
    assert report.jobs.redelivered == 1


@pytest.mark.parametrize(
    ("held", "kind"),
    [(Held.UNTOLD, Kind.STUCK), (Held.NOWHERE, Kind.ORPHANED), (Held.LEASED, Kind.LEAKED_LEASE)],
)
def test_where_nodes_had_no_time_only_the_gateway_itself_accuses(held: Held, kind: Kind) -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    book.presences.gone([N], T0 + 5)
    if held:
        book.handed(J, 1, T0 + 1, N, held)
    book.said(J, Said.PENDING)
    report = reconcile(GatewayWord(book, AuditPolicy(lease_s=LEASE_S)), T0 + 1000, is_cut_short=True)
    assert [finding.kind for finding in report.broken] == [kind]
    assert (report.count(Kind.ORPHANED) is None) is (held is Held.UNTOLD)
    assert bool(report.notes) is (held is Held.UNTOLD)


def test_a_job_whose_result_was_refused_for_good_is_lost() -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    book.buried(J, N)
    assert judged(book) == {Kind.LOST}


def test_a_job_handed_to_a_node_that_never_got_it_is_of_that_node() -> None:
    book = submitted()
    book.handed(J, 1, T0 + 1, N, Held.NOWHERE)
    book.presences.gone([N], T0 + 3)
    assert judged(book) == {Kind.ORPHANED}


def test_a_result_that_a_ledger_has_and_nobody_can_get_is_lost() -> None:
    book = submitted()
    book.handed(J, 1, T0 + 1, N, Held.ANSWERED)
    book.said(J, Said.PENDING)
    assert judged(book) == {Kind.LOST}


@pytest.mark.parametrize(("second_s", "kinds"), [(50.0, {Kind.DOUBLE_DELIVERED}), (59.5, set()), (61.0, set())])
def test_a_second_delivery_is_double_while_the_first_lease_surely_runs(second_s: float, kinds: set[Kind]) -> None:
    book = submitted()
    book.claimed(J, N, T0, "m")
    book.claimed(J, M, T0 + second_s, "m")
    book.accepted(J, M, T0 + 70, already=False)
    assert judged(book) == kinds


def test_a_poll_that_waited_long_may_have_had_its_lease_from_its_beginning() -> None:
    book = submitted()
    book.claimed(J, N, T0 + 20, "m", waited_s=20.0)
    book.claimed(J, M, T0 + 62, "m")
    book.accepted(J, M, T0 + 70, already=False)
    assert judged(book) == set()


def test_a_node_that_left_gave_its_lease_up() -> None:
    book = submitted()
    book.claimed(J, N, T0, "m")
    book.presences.left(N, T0 + 5)
    book.claimed(J, M, T0 + 6, "m")
    book.accepted(J, M, T0 + 70, already=False)
    assert judged(book) == set()


def test_a_crash_gives_nothing_up() -> None:
    book = submitted()
    book.claimed(J, N, T0, "m")
    book.presences.gone([N], T0 + 5)
    book.claimed(J, M, T0 + 6, "m")
    book.accepted(J, M, T0 + 70, already=False)
    assert judged(book) == {Kind.DOUBLE_DELIVERED}


def test_a_job_for_three_may_be_with_three_and_have_three_results() -> None:
    book = submitted()
    for node in (N, M, K):
        book.claimed(J, node, T0 + 1, "m")
    for node in (N, M, K):
        book.accepted(J, node, T0 + 2, already=False)
    assert judged(book, copies=3) == set()
    assert judged(book, copies=2) == {Kind.DOUBLE_DELIVERED, Kind.DUPLICATED}


def test_a_job_for_three_is_not_lost_when_the_answer_of_one_is_awaited() -> None:
    book = submitted()
    for node in (N, M, K):
        book.claimed(J, node, T0 + 1, "m")
    for node in (N, M):
        book.accepted(J, node, T0 + 2, already=False)
    assert judged(book, copies=3) == set(), "nobody can tell"
    book.said(J, Said.PENDING)
    assert judged(book, copies=3) & {Kind.LOST, Kind.DUPLICATED, Kind.DOUBLE_DELIVERED} == set()
    assert Kind.LOST in judged(book, copies=2)


def test_late_delivery() -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    book.accepted(J, N, T0 + 2, already=False)
    book.claimed(J, M, T0 + 5, "m")
    assert judged(book) == {Kind.LATE_DELIVERED}


def test_models_are_compared_as_names_with_tags() -> None:
    book = submitted()
    book.presences.offered(N, ["m:latest"])
    book.claimed(J, N, T0 + 1, "m:latest")
    book.sent(J, N, 5, "m")
    book.accepted(J, N, T0 + 2, already=False)
    book.said(J, Said.SUCCESS, 5, "m:latest")
    assert judged(book) == set()
    book.presences.offered(M, ["other"])
    book.claimed(J, M, T0 + 200, "m")
    assert Kind.WRONG_MODEL in judged(book)


def test_phantoms_up_to_the_unconfirmed_submissions_are_excused() -> None:
    book = Book()
    book.claimed(J, N, T0, "m")
    assert audited(book).count(Kind.PHANTOM) == 1
    book.unconfirmed = 1
    report = audited(book)
    assert report.count(Kind.PHANTOM) == 0
    assert "1 submissions ended without an answer" in report.notes[0]


def test_points_prove_double_credit_where_a_jobs_worth_is_known() -> None:
    book = submitted()
    book.claimed(J, N, T0 + 1, "m")
    book.ended(J, N, T0 + 2)
    book.accepted(J, N, T0 + 2, already=False)
    policy = AuditPolicy(lease_s=LEASE_S, points_per_job=1.0, points_per_minute=0.1)
    word = GatewayWord(book, policy, points={N: Credit(5.0, 6.5)}, minutes=10)
    assert audited(book, word=word).count(Kind.DOUBLE_CREDITED) == 0
    word.points[N] = Credit(5.0, 8.2)
    finding = audited(book, word=word).of(Kind.DOUBLE_CREDITED)
    assert (finding.count, finding.examples) == (1, ("n",))


def test_only_some_jobs_looked_up_is_said() -> None:
    book = submitted()
    book.submitted(JobId("other"), "m", T0, T0)
    book.said(J, Said.PENDING)
    report = audited(book)
    assert "1 of 2 jobs were looked up at the gateway" in report.notes
    assert report.of(Kind.LOST).judged == 1


def test_a_report_shows_the_first_ids_and_what_they_mean() -> None:
    book = Book()
    for number in range(30):
        book.submitted(JobId(f"j{number}"), "m", T0, T0)
    document = audited(book).to_document()
    stuck = document["findings"]["stuck"]
    assert stuck["count"] == 30
    assert stuck["examples"] == [f"j{number}" for number in range(20)]
    assert stuck["meaning"].startswith("Submitted")
    assert document["verdict"] == "broken"


def test_a_lease_ends_with_its_result_taken_or_refused() -> None:
    for end in ("accepted", "buried"):
        book = submitted()
        book.claimed(J, N, T0, "m")
        book.claimed(J, M, T0, "m")
        if end == "accepted":
            book.accepted(J, N, T0 + 5, already=False)
        else:
            book.buried(J, N)
        book.claimed(J, K, T0 + 10, "m")
        book.said(J, Said.SUCCESS)
        assert judged(book, copies=2) == set(), end
