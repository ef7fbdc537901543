"""The book: what is written comes back, through merging and JSON."""

from __future__ import annotations

import json
from math import isnan

import pytest

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Embeddings, Failure, FinishedJob, Generation, Success
from node.domain.states import Life, LifeInput
from node.loadtest.audit.book import Book
from node.loadtest.audit.columns import Columns
from node.loadtest.audit.digest import digest, digest_of
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.phases import job_phases
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.views import Held, Marked, Said
from node.loadtest.audit.watch import Watch
from node.loadtest.figures.figures import Measure
from node.protocol.messages import AnswerMessage, ResultBody

J, N, M = JobId("j1"), NodeId("n1"), NodeId("n2")
T0 = 1_800_000_000.0


def copied(book: Book) -> Book:
    return Book.from_document(json.loads(json.dumps(book.to_document())))


def test_a_job_seen_by_two_processes_becomes_whole() -> None:
    one, two = Book(), Book()
    one.submitted(J, "m", T0, T0 + 0.25)
    two.claimed(J, N, T0 + 1, "m", waited_s=0.5)
    two.ended(J, N, T0 + 2)
    two.sent(J, N, 2**64 - 1, "m2")
    two.accepted(J, N, T0 + 3, already=False)
    two.accepted(J, N, T0 + 4, already=False)
    two.unconfirmed = 2
    for order in ((one, two), (two, one)):
        whole = Book()
        for book in order:
            whole.merge(copied(book))
        whole.said(J, Said.SUCCESS, 7, "m3")
        whole.handed(J, 2, T0 + 9, M, Held.LEASED)
        job = copied(whole).view(J)
        assert (job.model, job.intended_at, job.submitted_at) == ("m", T0, T0 + 0.25)
        (claim,) = job.claims
        assert (claim.node, claim.asked_at, claim.at, claim.ended_at) == (N, T0 + 0.5, T0 + 1, T0 + 2)
        assert (claim.sent, claim.sent_model, claim.accepted, claim.accepted_at) == (2**64 - 1, "m2", 2, T0 + 3)
        assert (job.said, job.stored, job.stored_model) == (Said.SUCCESS, 7, "m3")
        assert (job.held, job.handed, job.handed_at, job.handed_to) == (Held.LEASED, 2, T0 + 9, M)
        assert whole.unconfirmed == 2
        assert len(whole) == 1
        assert whole.knows(J)


def test_claims_are_in_the_order_of_time_and_repeats_do_not_take_results() -> None:
    early, late = Book(), Book()
    late.claimed(J, M, T0 + 40, "m")
    early.claimed(J, N, T0 + 1, "m")
    early.claimed_again(J, N, T0 + 5)
    early.ended(J, N, T0 + 6)
    late.merge(early)
    job = late.view(J)
    assert [(claim.node, claim.at) for claim in job.claims] == [(N, T0 + 1), (N, T0 + 5), (M, T0 + 40)]
    assert [isnan(claim.ended_at) for claim in job.claims] == [False, True, True]
    assert job.claims[1].marks == Marked.AGAIN
    assert not job.is_submitted
    assert isnan(job.accepted_at)


def test_a_result_of_a_node_that_never_had_the_job_is_marked() -> None:
    book = Book()
    book.accepted(J, N, T0, already=False)
    job = book.view(J)
    assert job.deliveries == []
    assert job.claims[0].marks == Marked.UNASKED
    assert job.accepted_at == T0


def test_all_results_of_a_node_that_answers_twice_are_kept() -> None:
    book, other = Book(), Book()
    book.claimed(J, N, T0)
    for number in (5, 5, 6):
        book.sent(J, N, number, "m")
    other.merge(copied(book))
    assert sorted(other.view(J).sent) == [(5, "m"), (6, "m")]


def test_a_gateway_that_makes_up_models_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.loadtest.audit.book._MOST_MODELS", 3)
    book = Book()
    for number in range(10):
        book.claimed(JobId(f"j{number}"), N, T0, f"model-{number}")
    assert book.view(JobId("j9")).claims[0].model == "?"


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"ids": None},
        {"jobs": {}},
        {"claim_count": 3},
        {"claim_count": 10**12},
        {"claims": "text"},
        {"presences": {}},
    ],
)
def test_a_document_that_is_no_book_is_refused(change: dict[str, object]) -> None:
    book = Book()
    book.claimed(J, N, T0)
    with pytest.raises(ValueError, match=r"book|column|version"):
        Book.from_document(book.to_document() | change)


def test_a_damaged_column_is_refused() -> None:
    columns = Columns({"a": "d"}, {"a": 0.0})
    columns.append()
    document = columns.to_document()
    with pytest.raises(ValueError, match="wrong length"):
        columns.read(document, 2)
    with pytest.raises(ValueError, match="cannot be read"):
        columns.read({"a": "AAAA"}, 1)
    columns.read(document, 1)
    assert len(columns) == 1


def test_presence() -> None:
    presences = Book().presences
    presences.gone([N], 10.0)
    presences.left(M, 20.0)
    assert presences.is_gone_since(N, 5.0)
    assert not presences.is_gone_since(N, 11.0)
    assert presences.left_after(M, 15.0) == 20.0
    assert presences.offers(N) is None


def test_a_digest_is_of_what_a_reader_sees() -> None:
    key = JobKey(SourceId("s"), N, J)
    success = FinishedJob(key, Success(Generation("text", "m", "e")), 0.0, 0.0)
    assert digest_of(success) == (digest("success", ResultBody(message=AnswerMessage(content="text"))), "m")
    failure = FinishedJob(key, Failure("why", "m"), 0.0, 0.0)
    assert digest_of(failure)[0] == digest("error", ResultBody(message=AnswerMessage(role="other"), error="why"))
    assert digest_of(failure)[0] != digest("error", ResultBody(message=AnswerMessage(), error="else"))
    with pytest.raises(TypeError):
        digest_of(FinishedJob(key, Success(Embeddings(((1.0,),), "m", "e")), 0.0, 0.0))


def test_the_watch_writes_what_nodes_do_and_phases_come_of_it() -> None:
    book, now = Book(), T0
    watch = Watch(book, lambda: now)
    handlers = watch.handlers()

    def tell(at: float, event: ev.Event) -> None:
        nonlocal now
        now = T0 + at
        handlers[type(event)](event)

    first, second = JobKey(SourceId("s"), N, J), JobKey(SourceId("s"), M, J)
    now = T0 + 0.5
    watch.submitted(J, "m", T0)
    watch.unconfirmed()
    tell(1, ev.PollEnded(N, 0.25, J))
    tell(1, ev.PollEnded(M, 0.25, None))
    tell(1, ev.JobClaimed(first, "m"))
    tell(2, ev.PollEnded(N, 0.5, J))
    tell(2, ev.JobSkipped(first, "it is being worked on"))
    now = T0 + 3
    watch.crashed([N])
    tell(8, ev.PollEnded(M, 0.125, J))
    tell(8, ev.JobClaimed(second, "m"))
    tell(9, ev.JobEnded(second, "e", "m", 1.0, 3))
    watch.sent(FinishedJob(second, Success(Generation("text", "m", "e")), 0.0, 0.0))
    tell(10, ev.ResultAccepted(second, 2.0, 1, already=False))
    tell(11, ev.ResultBuried(first, "late"))
    tell(11, ev.ResultLost(first, "gone"))
    tell(12, ev.StepEnded(M, "leave", 0.5))
    tell(12, ev.StepEnded(M, "register", 0.5))
    tell(13, ev.LifeChanged(M, Life.DRAINING, LifeInput.DRAINED, Life.STOPPED))
    tell(13, ev.LifeChanged(N, Life.NEW, LifeInput.START, Life.STARTING))
    job = book.view(J)
    assert [(claim.node, claim.asked_at - T0) for claim in job.claims] == [(N, 0.75), (N, 1.5), (M, 7.875)]
    assert job.claims[0].marks == Marked.BURIED | Marked.UNKEPT
    assert book.unconfirmed == 1
    assert book.presences.left_after(M, T0) == T0 + 11.5
    assert book.presences.gone_after(M, T0) == T0 + 13
    phases = job_phases(book)
    assert phases[Measure.CLAIM].max_s == pytest.approx(1.0, rel=1e-3)
    assert phases[Measure.WORK].max_s == pytest.approx(2.0, rel=1e-3)
    assert phases[Measure.JOB].max_s == pytest.approx(10.0, rel=1e-3)
    assert phases[Measure.REDELIVERY].max_s == pytest.approx(5.0, rel=1e-3)
    assert phases[Measure.REDELIVERY].count == 1


def test_a_result_that_the_gateway_has_already_is_timed_from_when_it_said_so() -> None:
    """Its first answer was lost on the way: just such jobs took long."""
    book = Book()
    book.submitted(J, "m", T0, T0 + 0.25)
    book.claimed(J, N, T0 + 1)
    book.accepted(J, N, T0 + 40, already=True)
    book.accepted(J, N, T0 + 50, already=True)
    phases = job_phases(copied(book))
    assert phases[Measure.JOB].max_s == pytest.approx(40.0, rel=1e-3)
    assert phases[Measure.WORK].max_s == pytest.approx(39.0, rel=1e-3)
    assert (phases[Measure.JOB].count, phases[Measure.WORK].count) == (1, 1)


def test_times_at_which_a_node_was_gone_merge_whoever_saw_them() -> None:
    one, two = Book(), Book()
    one.presences.gone([N], T0 + 1)
    two.presences.gone([N], T0 + 5)
    one.presences.left(M, T0 + 1)
    two.presences.left(M, T0 + 5)
    one.merge(copied(two))
    assert (one.presences.gone_after(N, T0), one.presences.gone_after(N, T0 + 2)) == (T0 + 1, T0 + 5)
    assert (one.presences.left_after(M, T0), one.presences.left_after(M, T0 + 2)) == (T0 + 1, T0 + 5)


def test_one_id_for_several_submissions_is_counted_in_one_process_and_over_several() -> None:
    one, two = Book(), Book()
    one.submitted(J, "m", T0, T0 + 0.25)
    one.submitted(J, "m", T0 + 1, T0 + 1.25)
    two.submitted(J, "m", T0 + 2, T0 + 2.25)
    two.claimed(JobId("j2"), N, T0 + 3)
    two.submitted(JobId("j2"), "m", T0 + 3, T0 + 3.25)
    assert (one.repeated, two.repeated) == (1, 0)
    whole = copied(one)
    whole.merge(copied(two))
    assert whole.repeated == 2
    report = reconcile(GatewayWord(whole, AuditPolicy(owns_jobs=False)), T0 + 1000)
    assert report.count(Kind.MISCOUNTED) == 2
