"""What the database's thread does with a connection that is in a bad way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from node.domain.errors import StorageUnavailable
from node.runtime.connection import Connection

SCHEMA = ("CREATE TABLE IF NOT EXISTS things(id INTEGER PRIMARY KEY, text TEXT NOT NULL)",)
INSERT = "INSERT INTO things(text) VALUES (?)"


def test_a_transaction_that_could_not_be_rolled_back_does_not_stand_in_the_way_for_ever(tmp_path: Path) -> None:
    failing: list[Exception] = []

    def before_commit() -> None:
        if failing:
            raise failing[0]

    connection = Connection(tmp_path / "things.sqlite", before_commit)
    connection.open(SCHEMA, 1)
    opened = connection._open
    assert opened is not None
    failing.append(OSError(5, "Input/output error"))
    opened.set_authorizer(lambda _, what, *__: sqlite3.SQLITE_DENY if what == "ROLLBACK" else sqlite3.SQLITE_OK)
    for _ in range(2):
        (outcome,) = connection.commit([[(INSERT, ("one",))]])
        assert isinstance(outcome, StorageUnavailable)
    assert opened.in_transaction
    failing.clear()
    opened.set_authorizer(None)
    assert connection.commit([[(INSERT, ("two",))]]) == [None]
    assert connection.rows("SELECT text FROM things", ()) == [("two",)]
    connection.close()
    connection.close()


def test_a_closed_connection_says_so(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "things.sqlite", lambda: None)
    with pytest.raises(StorageUnavailable, match="closed"):
        connection.rows("SELECT 1", ())
    (outcome,) = connection.commit([[(INSERT, ("one",))]])
    assert "closed" in str(outcome)
    assert connection.commit([[], []]) == [None, None]


def test_giving_space_back_fails_with_the_disk(tmp_path: Path) -> None:
    failing: list[Exception] = []

    def before_commit() -> None:
        if failing:
            raise failing[0]

    connection = Connection(tmp_path / "things.sqlite", before_commit)
    connection.open(SCHEMA, 1)
    failing.append(OSError(28, "No space left on device"))
    with pytest.raises(StorageUnavailable, match="No space left"):
        connection.compact(10)
    connection.close()


def test_a_fault_in_the_middle_of_single_parts_fails_all(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "things.sqlite", lambda: None)
    connection.open(SCHEMA, 1)
    opened = connection._open
    assert opened is not None
    pages = connection.rows("PRAGMA page_count", ())[0][0]
    opened.execute(f"PRAGMA max_page_count={pages:d}")
    parts = [[(INSERT, ("good",))], [("INSERT INTO nothing", ())], [(INSERT, ("x" * 50_000,))]]
    outcomes = connection.commit(parts)
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    assert connection.rows("SELECT count(*) FROM things", ()) == [(0,)]
    assert connection.commit(parts[:1]) == [None]
    connection.close()
