"""The checker finds what is wrong, each kind of it, and nothing where all is well."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Failure, FinishedJob
from node.outbox.codec import encode, encode_key
from node.outbox.rows import SCHEMA
from tests.crash.audit import Kind, LedgerBook, WorkerBook, check_ledger
from tests.crash.evidence import Deed, Key, OutboxCopy, Step, copy_outbox, read_history
from tests.crash.ledger import Credit, Entry, Ledger

ONE, TWO, OTHERS = Key("n", "1"), Key("n", "2"), Key("other", "1")
CREDITED = Ledger({"1": Entry(("n",), Credit("n", "success", 1.0))}, {"n": (1, 0)})


def ran(*keys: Key) -> list[Step]:
    return [Step(deed, key) for key in keys for deed in (Deed.RECEIVED, Deed.FINISHED)]


def outbox(*, pending: tuple[Key, ...] = (), accepted: tuple[Key, ...] = (), dead: tuple[Key, ...] = ()) -> OutboxCopy:
    return OutboxCopy(frozenset(pending), dict.fromkeys(dead, "refused"), frozenset(accepted))


def book_with(*keys: Key, left: OutboxCopy) -> WorkerBook:
    book = WorkerBook("w")
    assert list(book.take("round 1", ran(*keys), left)) == []
    return book


def test_a_result_that_waits_and_is_then_accepted_is_well() -> None:
    book = book_with(ONE, left=outbox(pending=(ONE,)))
    assert list(book.take("round 2", [], outbox(accepted=(ONE,)))) == []
    assert list(check_ledger(CREDITED, [book], {"n": book})) == []
    assert list(LedgerBook().take("end", CREDITED)) == []
    assert set(book.finished) == {ONE}


def test_a_result_accepted_after_another_nodes_is_well() -> None:
    ledger = Ledger({"1": Entry(("n", "other"), Credit("other", "success", 1.0))}, {"n": (0, 0), "other": (1, 0)})
    book = book_with(ONE, OTHERS, left=outbox(accepted=(ONE, OTHERS)))
    assert list(check_ledger(ledger, [book], {"n": book, "other": book})) == []


def test_a_result_that_was_acknowledged_and_is_not_on_disk_is_lost() -> None:
    book = WorkerBook("w")
    found = list(book.take("round 1", ran(ONE, TWO), outbox(pending=(TWO,))))
    assert [breach.kind for breach in found] == [Kind.LOST]
    assert "n/1" in found[0].text
    assert list(book.take("round 2", [], outbox(pending=(TWO,)))) == [], "it is told once"


@pytest.mark.parametrize("before", [outbox(pending=(ONE,)), outbox(accepted=(ONE,)), outbox(dead=(ONE,))])
def test_an_outbox_that_forgets_loses(before: OutboxCopy) -> None:
    book = book_with(left=before)
    assert [breach.kind for breach in book.take("round 2", [], OutboxCopy())] == [Kind.LOST]


def test_what_was_accepted_must_not_wait_again() -> None:
    book = book_with(left=outbox(accepted=(ONE,)))
    assert [breach.kind for breach in book.take("round 2", [], outbox(pending=(ONE,)))] == [Kind.LOST]


@pytest.mark.parametrize("left", [outbox(pending=(ONE,)), outbox(accepted=(ONE,)), outbox(dead=(ONE,))])
def test_the_outbox_says_what_the_ledger_does_not(left: OutboxCopy) -> None:
    book = book_with(ONE, left=left)
    unanswered = Ledger({"1": Entry(("n",), None)})
    kinds = [breach.kind for breach in check_ledger(unanswered, [book], {"n": book})]
    assert kinds == [Kind.LOST, Kind.UNANSWERED]


def test_a_dead_letter_is_legitimate_where_the_gateway_does_not_know_the_job() -> None:
    book = book_with(ONE, left=outbox(dead=(ONE,)))
    assert list(check_ledger(Ledger(), [book], {"n": book})) == []


def test_a_credit_for_what_never_was_in_the_outbox_is_found() -> None:
    book = WorkerBook("w")
    assert [breach.kind for breach in check_ledger(CREDITED, [book], {"n": book})] == [Kind.LOST]


def test_a_credit_for_what_was_never_claimed_is_found() -> None:
    ledger = Ledger({"1": Entry((), Credit("n", "success", 1.0))})
    book = book_with(ONE, left=outbox(accepted=(ONE,)))
    kinds = [breach.kind for breach in check_ledger(ledger, [book], {"n": book})]
    assert kinds == [Kind.LOST, Kind.DOUBLED]


@pytest.mark.parametrize("credited", [(2, 0), (1, 1), (0, 0)])
def test_a_doubled_or_forgotten_credit_shows_in_the_sums(credited: tuple[int, int]) -> None:
    found = list(LedgerBook().take("end", Ledger(CREDITED.jobs, {"n": credited})))
    assert [breach.kind for breach in found] == [Kind.DOUBLED]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        Entry(("n",), None),
        Entry(("n", "o"), Credit("o", "success", 2.0)),
        Entry(("n",), Credit("n", "success", 2.0)),
    ],
)
def test_a_credit_that_changes_is_found(entry: Entry | None) -> None:
    book = LedgerBook()
    assert list(book.take("kill 1", CREDITED)) == []
    changed = Ledger({} if entry is None else {"1": entry})
    assert Kind.DOUBLED in {breach.kind for breach in book.take("kill 2", changed)}


def test_a_job_that_runs_again_after_it_was_finished_is_found() -> None:
    book = book_with(ONE, left=outbox(pending=(ONE,)))
    found = list(book.take("round 2", ran(ONE), outbox(pending=(ONE,))))
    assert [breach.kind for breach in found] == [Kind.DOUBLED]
    assert "finished in round 1" in found[0].text


def test_a_job_that_runs_twice_in_one_life_is_found() -> None:
    found = list(WorkerBook("w").take("round 1", [*ran(ONE), *ran(ONE)], outbox(pending=(ONE,))))
    assert [breach.kind for breach in found] == [Kind.DOUBLED]


def test_a_job_that_a_kill_cut_off_may_run_again() -> None:
    book = WorkerBook("w")
    assert list(book.take("round 1", [Step(Deed.RECEIVED, ONE)], OutboxCopy())) == []
    assert list(book.take("round 2", ran(ONE), outbox(pending=(ONE,)))) == []


def test_a_job_received_and_not_answered_is_found() -> None:
    book = WorkerBook("w")
    history = [Step(Deed.RECEIVED, ONE), *ran(TWO)]
    assert list(book.take("round 1", history, outbox(pending=(TWO,)))) == []
    found = list(book.unanswered("round 1", history))
    assert [breach.kind for breach in found] == [Kind.UNANSWERED]
    assert "n/1" in found[0].text


def test_an_outbox_is_read_as_it_was_left_its_journal_included(tmp_path: Path) -> None:
    """The copy is taken while the writer is still there and has checkpointed nothing: as after a kill."""
    keys = [JobKey(SourceId("s"), NodeId("n"), JobId(name)) for name in "123"]
    path = tmp_path / "state" / "outbox" / "results.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        for statement in SCHEMA:
            file.execute(statement)
        for key, reason in zip(keys[:2], (None, "refused"), strict=True):
            record = encode(FinishedJob(key, Failure("why", "m"), 1.0, 2.0, {}))
            row = (encode_key(key), record, 3.0, reason)
            file.execute("INSERT INTO results(key, record, since, reason) VALUES (?, ?, ?, ?)", row)
        file.execute("INSERT INTO accepted VALUES (?, ?)", (encode_key(keys[2]), 3.0))
        copy = copy_outbox(tmp_path / "state", tmp_path / "copy")
    assert copy == OutboxCopy(frozenset({ONE}), {TWO: "refused"}, frozenset({Key("n", "3")}))
    assert copy_outbox(tmp_path / "nobody", tmp_path / "none") == OutboxCopy()


def test_a_history_ends_with_its_last_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '{"event": "job received", "node": "n", "job": "1"}\n{"event": "poll ended", "node": "n", "job": "1"}\n'
        '{"event": "job failed", "node": "n", "job": "1"}\n{"event": "job recei'
    )
    assert read_history(log) == [Step(Deed.RECEIVED, ONE), Step(Deed.FINISHED, ONE)]
    assert read_history(tmp_path / "none") == []
