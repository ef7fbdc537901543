"""The outbox's tables: what is written into them, and how they are read at the start.

Results and dead letters share a table in the order of their last change, a dead letter being a row with a
reason. Accepted keys have one of their own, so that they do not hold the pages of the results they were of.
Rows are addressed by key: a change that another has overtaken finds no row and does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.outbox.codec import decode, decode_key, encode_key
from node.outbox.shelf import Shelf
from node.ports.outbox import DeadLetter
from node.runtime.connection import Bulk, Statement
from node.runtime.database import Database

Query: TypeAlias = tuple[str, Sequence[Any]]
"""SQL that asks, and its values."""

VERSION: Final = 1
"""Of the tables; the records in them have a format of their own."""

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS results(
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, record BLOB NOT NULL, since REAL NOT NULL, reason TEXT)""",
    "CREATE TABLE IF NOT EXISTS accepted(key TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS accepted_at ON accepted(at)",
    "CREATE TABLE IF NOT EXISTS probe(id INTEGER PRIMARY KEY, at REAL NOT NULL)",
)

_KEEP: Final = Bulk(0, "INSERT OR REPLACE INTO results(key, record, since) VALUES ", "(?,?,?)")
_REMOVE: Final = Bulk(1, "DELETE FROM results WHERE key IN (", "?", ")")
_REMEMBER: Final = Bulk(2, "INSERT INTO accepted(key, at) VALUES ", "(?,?)")
_BURY: Final = """UPDATE results SET id = (SELECT max(id) + 1 FROM results), since = ?, reason = ?
    WHERE key = ? AND reason IS NULL"""
_REVIVE: Final = """UPDATE results SET id = (SELECT max(id) + 1 FROM results), since = ?, reason = NULL
    WHERE key = ? AND reason IS NOT NULL"""
_RESULTS: Final = """SELECT id, key, CASE WHEN reason IS NULL THEN record END, length(record), since, reason
    FROM results WHERE id > ? ORDER BY id LIMIT ?"""
_ACCEPTED: Final = "SELECT rowid, key, at FROM accepted WHERE rowid > ? AND at > ? ORDER BY rowid LIMIT ?"
_CHUNK: Final = 500
"""Rows read at a time at the start, so that the event loop has its turns."""


def keep(key: JobKey, record: bytes, since: float) -> Statement:
    """A result waits."""
    return _KEEP, (encode_key(key), record, since)


def accept(key: JobKey, at: float) -> tuple[Statement, Statement]:
    """A result was taken."""
    name = encode_key(key)
    return (_REMOVE, (name,)), (_REMEMBER, (name, at))


def bury(key: JobKey, reason: str, at: float) -> Statement:
    """A waiting result becomes a dead letter."""
    return _BURY, (at, reason, encode_key(key))


def revive(key: JobKey, at: float) -> Statement:
    """A dead letter waits again."""
    return _REVIVE, (at, encode_key(key))


def drop(key: JobKey) -> Statement:
    """A result or dead letter goes."""
    return _REMOVE, (encode_key(key),)


def drop_letter(key: JobKey) -> Statement:
    """A dead letter goes."""
    return "DELETE FROM results WHERE key = ? AND reason IS NOT NULL", (encode_key(key),)


def record(key: JobKey) -> Query:
    """Asks for the record of a result or dead letter."""
    return "SELECT record FROM results WHERE key = ?", (encode_key(key),)


def forgotten(end: float) -> Query:
    """Asks whether there are accepted keys from before ``end``."""
    return "SELECT EXISTS (SELECT 1 FROM accepted WHERE at <= ?)", (end,)


def forget(end: float, most: int) -> Statement:
    """Some of the accepted keys from before ``end`` go."""
    sql = "DELETE FROM accepted WHERE rowid IN (SELECT rowid FROM accepted WHERE at <= ? ORDER BY at LIMIT ?)"
    return sql, (end, most)


def probe(at: float) -> Statement:
    """A write that changes nothing: does the disk take it?"""
    return "INSERT OR REPLACE INTO probe VALUES (0, ?)", (at,)


async def load(database: Database, shelf: Shelf, now: float, remember_s: float) -> int:
    """Enter what the file holds in the books; how many results could not be read and are dead letters from now on.

    Raises:
        StorageUnavailable: the file cannot be read or written.
    """
    unreadable = 0
    last = -1
    while rows := await database.read(_RESULTS, (last, _CHUNK)):
        last = rows[-1][0]
        repairs = [repair for row in rows if (repair := _take_up(row, shelf, now)) is not None]
        unreadable += len(repairs)
        await database.write(*repairs)
    last = -1
    while rows := await database.read(_ACCEPTED, (last, now - remember_s, _CHUNK)):
        last = rows[-1][0]
        for _, name, at in rows:
            with suppress(ValueError):
                shelf.remember(decode_key(name), at)
    return unreadable


def _take_up(row: tuple[Any, ...], shelf: Shelf, now: float) -> Statement | None:
    """Enter one row in the books; the change that makes it a dead letter when it cannot be read."""
    row_id, name, content, size, since, reason = row
    try:
        key = decode_key(name)
        if reason is not None:
            shelf.keep_letter(DeadLetter(key, str(reason), float(since)), size)
            return None
        finished = decode(content)
        if finished.key != key:
            raise ValueError("it is the record of another key")
        shelf.keep(finished, size, float(since))
    except ValueError as error:
        key = _key_or_name(name)
        reason = f"unreadable: {error}"
        shelf.keep_letter(DeadLetter(key, reason, now), size)
        sql = "UPDATE OR REPLACE results SET key = ?, since = ?, reason = ? WHERE id = ?"
        return sql, (encode_key(key), now, reason, row_id)
    return None


def _key_or_name(name: object) -> JobKey:
    """The key of a row, or one that names the row for people where it has none."""
    try:
        return decode_key(str(name))
    except ValueError:
        return JobKey(SourceId(""), NodeId(""), JobId(str(name)))
