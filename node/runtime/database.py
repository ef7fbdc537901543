"""A SQLite file on a thread of its own, whose writers share commits.

Writes that arrive while a commit is under way are committed together by the next one ("group commit"),
with no lingering: an idle database commits at once, a busy one once for many.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from node.domain.errors import StorageUnavailable
from node.runtime.connection import Connection, Statement
from node.runtime.filelock import FileLock

T = TypeVar("T")

Settled = Callable[[StorageUnavailable | None], object]
"""Told on the event loop what became of a write: None when it is durable."""


class _Part(NamedTuple):
    statements: Sequence[Statement]
    then: Settled


def free_bytes(folder: Path) -> int:
    """What the disk below this folder has left for the program."""
    return shutil.disk_usage(folder).free


class Database:
    """An open file; one process holds it at a time. Made by `open`.

    ``synchronous=FULL``: what is committed survives a loss of power, as far as the disk keeps its word.
    """

    def __init__(
        self,
        connection: Connection,
        lock: FileLock,
        executor: Executor,
        *,
        owns_executor: bool,
        free: Callable[[Path], int],
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._executor = executor
        self._owns_executor = owns_executor
        self._measure = free
        self._free = 0
        self._guard = threading.Lock()
        self._queue: list[_Part] = []
        self._due = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        schema: Sequence[str],
        *,
        version: int = 1,
        executor: Executor | None = None,
        before_commit: Callable[[], None] = lambda: None,
        free: Callable[[Path], int] = free_bytes,
    ) -> Database:
        """Open the file, made when missing (mode 0600, its folder 0700), and bring it to this schema.

        ``version`` numbers the schema; a file with a higher one is refused. ``executor`` runs the database's
        work, one call at a time and always on the same thread, and is left running at the end; without one a
        thread is made and ended. ``before_commit`` is called on that thread before every commit, as ``free``
        is to measure the disk.

        Raises:
            StorageInUse: another process holds the file.
            StorageUnavailable: the file cannot be opened or written, or is damaged.
        """
        lock = FileLock.take(path)
        own = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{path.stem}")
        connection = Connection(path, before_commit)
        database = cls(connection, lock, own, owns_executor=executor is None, free=free)
        try:
            await database._run(lambda: connection.open(schema, version))
            await database._run(database._sample)
        except BaseException:
            await database._disconnect()
            raise
        return database

    @property
    def free(self) -> int:
        """Bytes left on the disk, as of the last commit or `settled`."""
        return self._free

    def submit(self, statements: Sequence[Statement], then: Settled) -> None:
        """Run these statements in one transaction, shared with others' writes; ``then`` is told what came of it.

        Writes are committed, and their ``then`` called, in the order of the calls. ``then`` must not raise.
        """
        if self._closed:
            error = StorageUnavailable(f"{self._connection.path}: closed")
            asyncio.get_running_loop().call_soon(then, error)
            return
        with self._guard:
            self._queue.append(_Part(statements, then))
            was_due, self._due = self._due, True
        if not was_due:
            self._flush()

    async def write(self, *statements: Statement) -> None:
        """Run these statements in one transaction, shared with others' writes; durable when it returns.

        A cancelled call gives up waiting, not the write.

        Raises:
            StorageUnavailable: the disk does not take it, or a statement is at fault; nothing of these
                statements was kept. A faulty statement fails its own call alone.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: StorageUnavailable | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self.submit(statements, settle)
        await done

    async def settled(self) -> None:
        """Wait until all writes asked for up to now have been committed or have failed."""
        with contextlib.suppress(StorageUnavailable):
            await self.write()

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. What was submitted before and is not settled may be missing.

        Raises:
            StorageUnavailable: the file cannot be read.
        """
        return await self._run(lambda: self._connection.rows(sql, values))

    async def compact(self, pages: int) -> None:
        """Give up to this many unused pages at the end of the file back to the disk.

        Raises:
            StorageUnavailable: the disk does not take it.
        """
        await self._run(lambda: self._connection.compact(pages))

    async def aclose(self) -> None:
        """Commit what is queued, close the file and give up the lock. A second call does nothing."""
        if self._closed:
            return
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def drain(_: StorageUnavailable | None) -> None:
            if not drained.done():
                drained.set_result(None)

        self.submit((), drain)
        self._closed = True
        try:
            await drained
        finally:
            await self._disconnect()

    async def _disconnect(self) -> None:
        self._closed = True
        try:
            await self._run(self._let_go)
        finally:
            if self._owns_executor:
                self._executor.shutdown(wait=False)

    def _let_go(self) -> None:
        try:
            self._connection.close()
        finally:
            self._lock.release()

    def _flush(self) -> None:
        """Have the queue committed, as it is when the thread comes to it: behind the commit that is under way."""
        parts: list[_Part] = []
        self._call(lambda: self._commit(parts), lambda ended: self._flushed(parts, ended))

    def _take(self) -> list[_Part]:
        with self._guard:
            parts, self._queue = self._queue, []
            self._due = False
        return parts

    def _commit(self, parts: list[_Part]) -> list[StorageUnavailable | None]:
        parts += self._take()
        outcomes = self._connection.commit([part.statements for part in parts])
        self._sample()
        return outcomes

    def _sample(self) -> None:
        # A disk that cannot be measured is judged by its commits alone.
        with contextlib.suppress(OSError):
            self._free = self._measure(self._connection.path.parent)

    def _flushed(self, parts: list[_Part], ended: Future[list[StorageUnavailable | None]]) -> None:
        if (defect := _failure(ended)) is None:
            outcomes = ended.result()
        else:
            parts = parts or self._take()
            outcomes = [self._connection.unavailable(defect) for _ in parts]
        for part, outcome in zip(parts, outcomes, strict=True):
            part.then(outcome)

    async def _run(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def settle(ended: Future[T]) -> None:
            if done.done():
                return
            if (error := _failure(ended)) is not None:
                done.set_exception(error)
            else:
                done.set_result(ended.result())

        self._call(work, settle)
        return await done

    def _call(self, work: Callable[[], T], then: Callable[[Future[T]], None]) -> None:
        """Run ``work`` on the thread, then ``then`` on the event loop, whoever has given up waiting meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            ended = self._executor.submit(work)
        except RuntimeError as error:
            ended = Future()
            ended.set_exception(self._connection.unavailable(error))
        if ended.done():
            loop.call_soon(then, ended)
        else:
            ended.add_done_callback(lambda future: _hand_over(loop, then, future))


def _failure(ended: Future[Any]) -> BaseException | None:
    return StorageUnavailable("the executor was shut down") if ended.cancelled() else ended.exception()


def _hand_over(loop: asyncio.AbstractEventLoop, then: Callable[[Future[T]], None], ended: Future[T]) -> None:
    # A loop that was closed meanwhile has nobody left to tell.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(then, ended)
