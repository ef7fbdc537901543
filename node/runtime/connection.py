"""A connection to a SQLite file, as the database's thread uses it: transactions, and errors in our own terms."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from node.domain.errors import StorageUnavailable
from node.runtime.folders import sync_folder


class Bulk(NamedTuple):
    """A statement for rows, many of which are run as one: ``head``, ``row`` again and again, ``tail``.

    The bulks of a transaction are run before its other statements, by ``order`` and whoever they are from: for
    statements among which that makes no difference. Each statement costs the thread several turns at the
    interpreter's lock, of up to 5 ms each while the event loop is busy; hundreds of rows run as one cost no more.
    """

    order: int
    head: str
    row: str
    tail: str = ""

    def sql(self, rows: int = 1) -> str:
        """The statement for so many rows."""
        return f"{self.head}{','.join([self.row] * rows)}{self.tail}"


Statement: TypeAlias = tuple[str | Bulk, Sequence[Any]]
"""SQL with ``?`` and its values, or a bulk and the values of one row of it."""

Part: TypeAlias = Sequence[Statement]
"""The statements of one writer: kept whole or not at all."""

_PRAGMAS: Final = (
    "PRAGMA auto_vacuum=INCREMENTAL",  # of effect in a file without pages, or with the next VACUUM
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",  # macOS: through the drive's cache; elsewhere without effect
    "PRAGMA checkpoint_fullfsync=ON",
    "PRAGMA journal_size_limit=16777216",
    "PRAGMA secure_delete=ON",  # answers and keys that are done with do not linger in unused pages
    "PRAGMA foreign_keys=ON",
)

_INCREMENTAL: Final = 2
"""What ``PRAGMA auto_vacuum`` answers when pages that are free can be given back."""

_FAULTY_STATEMENT: Final = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    }
)
"""Primary result codes for which the statement is to blame and not the disk (sqlite.org/rescode.html)."""

_BULK_ROWS: Final = 256
"""Rows run as one at most. Their numbers are powers of two, so that the statements stay prepared."""

_CHUNK_BYTES: Final = 1 << 20
"""Of the log that is written again, at a time."""

_FAULTS: Final = (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, ArithmeticError)
"""What a statement or a value that cannot be bound raises."""


class Connection:
    """One open file. Every method runs on the database's thread; `open` comes first."""

    def __init__(self, path: Path, before_commit: Callable[[], None]) -> None:
        self.path = path
        self._before_commit = before_commit
        self._open: sqlite3.Connection | None = None

    def open(self, schema: Sequence[str], version: int) -> None:
        """Open the file, made with mode 0600 when missing, check it, and bring it to this schema.

        Raises:
            StorageUnavailable: it cannot be opened or written, is damaged, or has a higher version.
        """
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.path.chmod(0o600)
            sync_folder(self.path.parent)
            self._open = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._prepare(self._open, schema, version)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self.unavailable(error) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, connection: sqlite3.Connection, schema: Sequence[str], version: int) -> None:
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists():
            with _Transaction(connection, lambda: None):
                _write_again(log)
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > version:
            text = f"{self.path}: written by a later version of this program (schema {found}, known up to {version})"
            raise StorageUnavailable(text)
        complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if complaint != "ok":
            raise StorageUnavailable(f"{self.path}: {complaint}{self._remedy(sqlite3.SQLITE_CORRUPT)}")
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            # A crash while the file was made left a header without it: only VACUUM brings it in then.
            connection.execute("VACUUM")
        with _Transaction(connection, self._before_commit):
            for statement in schema:
                connection.execute(statement)
            if found < version:
                connection.execute(f"PRAGMA user_version={version:d}")

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    def rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            StorageUnavailable: the file cannot be read.
        """
        try:
            return self._opened().execute(sql, values).fetchall()
        except _FAULTS as error:
            raise self.unavailable(error) from error

    def compact(self, pages: int) -> None:
        """See `node.runtime.database.Database.compact`."""
        try:
            self._before_commit()
            # A page goes with every step of the statement: only a script is stepped to its end.
            self._opened().executescript(f"PRAGMA incremental_vacuum({pages:d})")
        except (*_FAULTS, OSError) as error:
            raise self.unavailable(error) from error

    def commit(self, parts: Sequence[Part]) -> list[StorageUnavailable | None]:
        """Run all parts in one transaction and say what became of each.

        When a statement is at fault the parts are run again, each in a savepoint of its own, so that only the
        faulty ones fail. When the disk is at fault all fail.
        """
        if not any(parts):
            return [None] * len(parts)
        try:
            try:
                with _Transaction(self._opened(), self._before_commit) as connection:
                    _run_together(connection, parts)
            except _FAULTS as error:
                if not _is_faulty_statement(error):
                    raise
                return self._commit_apart(parts)
        except (*_FAULTS, OSError) as error:
            return [self.unavailable(error) for _ in parts]
        return [None] * len(parts)

    def _commit_apart(self, parts: Sequence[Part]) -> list[StorageUnavailable | None]:
        outcomes: list[StorageUnavailable | None] = []
        with _Transaction(self._opened(), self._before_commit) as connection:
            for part in parts:
                connection.execute("SAVEPOINT part")
                try:
                    _run(connection, part)
                except _FAULTS as error:
                    if not _is_faulty_statement(error):
                        raise
                    connection.execute("ROLLBACK TO part")
                    outcomes.append(self.unavailable(error))
                else:
                    outcomes.append(None)
                connection.execute("RELEASE part")
        return outcomes

    def unavailable(self, error: BaseException) -> StorageUnavailable:
        """The error in our own terms, caused by this one."""
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = f"{self.path}: {said or type(error).__name__}{self._remedy(_code(error))}"
        translated = StorageUnavailable(text)
        translated.__cause__ = error
        return translated

    def _remedy(self, code: int | None) -> str:
        match code:
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return (
                    f" — the file is damaged: move {self.path.name}* away and start again;"
                    f" `sqlite3 {self.path} .recover` shows what can be saved of it"
                )
            case sqlite3.SQLITE_FULL:
                return " — free some space"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return " — make the file and its folder writable for this user"
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return " — another program has the file open for writing"
            case _:
                return ""

    def _opened(self) -> sqlite3.Connection:
        if self._open is None:
            raise sqlite3.ProgrammingError("closed")
        return self._open


class _Transaction:
    """A block whose statements are committed together, or rolled back when it or the commit fails."""

    def __init__(self, connection: sqlite3.Connection, before_commit: Callable[[], None]) -> None:
        self._connection = connection
        self._before_commit = before_commit

    def __enter__(self) -> sqlite3.Connection:
        self._roll_back()
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._before_commit()
                self._connection.execute("COMMIT")
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        # Open only after a failure that SQLite has not rolled back by itself; that, too, can fail on a bad disk.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, part: Part) -> None:
    for sql, values in part:
        connection.execute(sql.sql() if isinstance(sql, Bulk) else sql, values)


def _run_together(connection: sqlite3.Connection, parts: Sequence[Part]) -> None:
    if len(parts) == 1:
        _run(connection, parts[0])
        return
    bulks: dict[Bulk, list[Sequence[Any]]] = {}
    others: list[tuple[str, Sequence[Any]]] = []
    for part in parts:
        for sql, values in part:
            if isinstance(sql, Bulk):
                bulks.setdefault(sql, []).append(values)
            else:
                others.append((sql, values))
    for bulk in sorted(bulks):
        _run_bulk(connection, bulk, bulks[bulk])
    _run(connection, others)


def _run_bulk(connection: sqlite3.Connection, bulk: Bulk, rows: Sequence[Sequence[Any]]) -> None:
    done = 0
    while left := len(rows) - done:
        number = min(_BULK_ROWS, 1 << (left.bit_length() - 1))
        values = [value for row in rows[done : done + number] for value in row]
        connection.execute(bulk.sql(number), values)
        done += number


def _code(error: BaseException) -> int | None:
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xFF


def _is_faulty_statement(error: Exception) -> bool:
    code = _code(error)
    return code is None or code in _FAULTY_STATEMENT


def _write_again(log: Path) -> None:
    """Write the log that a crash or a failing disk has left over itself, so that its bytes are durable.

    SQLite takes up what it reads there and goes on behind it. But a killed process may have left bytes that were
    never synced, and after a sync that failed Linux takes them for clean: they are read from its cache, no later
    sync writes them, and with them all that was committed behind them is gone once the power is
    (wiki.postgresql.org/wiki/Fsync_Errors).
    """
    descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    try:
        offset = 0
        while content := os.pread(descriptor, _CHUNK_BYTES, offset):
            offset += os.pwrite(descriptor, content, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
