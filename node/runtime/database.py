"""A SQLite file on a thread of its own, whose writers share commits.

Writes that arrive while a commit is under way are committed together by the next one ("group commit"),
with no lingering: an idle database commits at once, a busy one once for many.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

from node.domain.errors import StorageInUse, StorageUnavailable

T = TypeVar("T")

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with ``?`` and its values."""

_PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")


class Database:
    """An open file; one process holds it at a time. Made by `open`.

    ``synchronous=FULL``: what is committed survives a loss of power, as far as the disk keeps its word.
    """

    def __init__(self, path: Path, executor: Executor, lock: IO[str], before_commit: Callable[[], None]) -> None:
        self._path = path
        self._executor = executor
        self._lock = lock
        self._before_commit = before_commit
        self._queue: list[tuple[Sequence[Statement], asyncio.Future[None]]] = []
        self._flush: asyncio.Future[None] | None = None
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        schema: Sequence[str],
        *,
        executor: Executor | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> Database:
        """Open the file, made when missing (its folder with mode 0700), and bring it to this schema.

        ``executor`` runs the database's work, one call at a time and always on the same thread; without one a
        thread is made. ``before_commit`` is called on that thread before every commit.

        Raises:
            StorageInUse: another process holds the file.
            StorageUnavailable: the file cannot be opened or written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = path.with_suffix(".lock").open("a+", encoding="ascii")
        except OSError as error:
            raise StorageUnavailable(f"{path}: {error.strerror}") from error
        _take(lock, path)
        own = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{path.stem}")
        database = cls(path, own, lock, before_commit)
        try:
            await database._run(lambda: database._connect(schema))
        except BaseException:
            lock.close()
            own.shutdown(wait=False)
            raise
        return database

    async def write(self, *statements: Statement) -> None:
        """Run these statements in one transaction, shared with others' writes; durable when it returns.

        Raises:
            StorageUnavailable: the disk does not take it; nothing of the shared transaction was kept.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((statements, done))
        if self._flush is None:
            self._start_flush()
        await done

    async def settled(self) -> None:
        """Wait until all writes asked for up to now have been committed or have failed."""
        await self.write()

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            StorageUnavailable: the file cannot be read.
        """
        return await self._run(lambda: self._open_connection().execute(sql, values).fetchall())

    async def aclose(self) -> None:
        """Commit what is queued, close the file and give up the lock. A second call does nothing."""
        if self._connection is None:
            return
        while self._flush is not None:
            await asyncio.wait([self._flush])
            await asyncio.sleep(0)
        connection, self._connection = self._connection, None
        await asyncio.get_running_loop().run_in_executor(self._executor, connection.close)
        self._executor.shutdown(wait=False)
        self._lock.close()

    def _start_flush(self) -> None:
        batch, self._queue = self._queue, []
        statements = [statement for part, _ in batch for statement in part]
        self._flush = asyncio.ensure_future(self._run(lambda: self._commit(statements)))
        self._flush.add_done_callback(lambda flush: self._flushed(batch, flush))

    def _flushed(
        self, batch: list[tuple[Sequence[Statement], asyncio.Future[None]]], flush: asyncio.Future[None]
    ) -> None:
        self._flush = None
        error = flush.exception() if not flush.cancelled() else StorageUnavailable("the program is ending")
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if self._queue:
            self._start_flush()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{self._path}: {error}") from error

    def _connect(self, schema: Sequence[str]) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._path.chmod(0o600)
            for statement in (*_PRAGMAS, *schema):
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the database is closed")
        return self._connection

    def _commit(self, statements: Sequence[Statement]) -> None:
        if not statements:
            return
        connection = self._open_connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                connection.execute(sql, values)
            self._before_commit()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _take(lock: IO[str], path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        by = f" by process {holder}" if holder else ""
        raise StorageInUse(f"{path} is in use{by}") from error
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()
