"""Outboxes with a bug each, so that it can be seen that the harness finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Final
from unittest.mock import patch

from node.domain.errors import StorageUnavailable
from node.domain.jobs import Job
from node.domain.results import FinishedJob
from node.domain.verdict import Verdict
from node.outbox.sqlite import SqliteOutbox
from node.ports.events import EventSink
from node.ports.source import JobSource
from node.runtime import connection, folders
from node.runtime.connection import Statement
from tests.failpoints.product import Product, SetClock

_SYNC_FOLDER: Final = folders.sync_folder
_PRAGMAS: Final = connection._PRAGMAS


class Tuned(Product):
    """Commits are not synced, or not at once."""

    def __init__(self, pragma: str) -> None:
        self._pragma = pragma

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        outbox = await super().open(path, clock, events, executor)
        await outbox._database.read(self._pragma)
        return outbox


class Eager(Product):
    """Promises are made before the commit."""

    class Outbox(SqliteOutbox):
        async def _write(
            self,
            statements: Sequence[Statement],
            apply: Callable[[], object],
            undo: Callable[[], object] = lambda: None,
        ) -> None:
            apply()
            self._database.submit(statements, lambda _: None)

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        return await self.Outbox.open(path, self.policy, clock, events, executor=executor)


class Deaf(Product):
    """A commit that failed is promised like any other."""

    class Outbox(SqliteOutbox):
        async def _write(
            self,
            statements: Sequence[Statement],
            apply: Callable[[], object],
            undo: Callable[[], object] = lambda: None,
        ) -> None:
            with suppress(StorageUnavailable):
                await super()._write(statements, apply, apply)

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        return await self.Outbox.open(path, self.policy, clock, events, executor=executor)


class FoldersNotSynced(Product):
    """The folder and ``levels`` above it are synced, and none further up."""

    def __init__(self, levels: int) -> None:
        self._levels = levels

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        synced = path.parents[: self._levels]

        def sync(folder: Path) -> None:
            if folder in synced:
                _SYNC_FOLDER(folder)

        with patch.object(connection, "sync_folder", sync), patch.object(folders, "sync_folder", sync):
            return await super().open(path, clock, events, executor)


class LogDeleted(Product):
    """What looks like the litter of a crash is cleared away first."""

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
        return await super().open(path, clock, events, executor)


class LogBelieved(Product):
    """What a crash left in the log is taken up as it is read, with nothing written or synced."""

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        # The first pragma writes, too; a file that is still being made needs it.
        has_log = path.with_name(f"{path.name}-wal").exists()
        pragmas = _PRAGMAS[1:] if has_log else _PRAGMAS
        with patch.object(connection, "_write_again", lambda _: None), patch.object(connection, "_PRAGMAS", pragmas):
            return await super().open(path, clock, events, executor)


class RemovedFirst(Product):
    """A result leaves the outbox when it is sent, and not when it was taken."""

    def source(self, outbox: SqliteOutbox, source: JobSource) -> JobSource:
        return _RemovingSource(outbox, source)


class _RemovingSource:
    def __init__(self, outbox: SqliteOutbox, source: JobSource) -> None:
        self._outbox = outbox
        self._source = source
        self.source_id = source.source_id

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        return await self._source.claim(still_wanted)

    async def settle(self, finished: FinishedJob) -> Verdict:
        await self._outbox.accept(finished.key)
        return await self._source.settle(finished)
