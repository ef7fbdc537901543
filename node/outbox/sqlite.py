"""The outbox on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from node.domain.errors import StorageUnavailable
from node.domain.events import Notice
from node.domain.ids import JobKey
from node.domain.policies import OutboxPolicy
from node.domain.results import FinishedJob
from node.outbox import TOPIC, rows
from node.outbox.codec import decode, encode
from node.outbox.shelf import Shelf, expiry_reason
from node.outbox.shelved import Shelved
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.outbox import Keeping
from node.runtime.connection import Statement
from node.runtime.database import Database, free_bytes

_SWEEP_ROWS: Final = 500
"""Rows that a sweep changes in one commit, so that it holds up nobody for long."""

_SPARE_PAGES: Final = 4096
"""Unused pages that the file keeps for results to come; a sweep gives some of those above back."""


class SqliteOutbox(Shelved):
    """Results in a SQLite file, and in memory for as long as they wait. Made by `open`.

    A call that is cancelled gives up waiting for the disk; what it asked for still happens.
    """

    def __init__(self, database: Database, shelf: Shelf, policy: OutboxPolicy, clock: Clock, events: EventSink) -> None:
        super().__init__(shelf, clock)
        self._database = database
        self._policy = policy
        self._events = events
        self._healthy = True
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        policy: OutboxPolicy,
        clock: Clock,
        events: EventSink,
        *,
        executor: Executor | None = None,
        before_commit: Callable[[], None] = lambda: None,
        free: Callable[[Path], int] = free_bytes,
    ) -> SqliteOutbox:
        """Open the file, made when missing, and take up what is in it; the keyword arguments are `Database.open`'s.

        Rows that cannot be read become dead letters, and a notice tells how many there were.

        Raises:
            StorageInUse: another process holds the file.
            StorageUnavailable: the file cannot be opened or written, or is damaged.
        """
        database = await Database.open(
            path, rows.SCHEMA, version=rows.VERSION, executor=executor, before_commit=before_commit, free=free
        )
        shelf = Shelf(policy)
        try:
            unreadable = await rows.load(database, shelf, clock.wall(), policy.remember_s)
        except BaseException:
            await database.aclose()
            raise
        if unreadable:
            events.emit(Notice(TOPIC, f"{path}: {unreadable} results cannot be read and are kept as dead letters"))
        outbox = cls(database, shelf, policy, clock, events)
        outbox._watch()
        return outbox

    @property
    def accepting(self) -> bool:
        """See `node.ports.outbox.Outbox.accepting`; the disk is looked at every ``policy.probe_s``."""
        return self._healthy and not self._shelf.full and self._database.free >= self._policy.min_free_bytes

    async def put(self, finished: FinishedJob) -> None:
        """See `node.ports.outbox.Outbox.put`."""
        key = finished.key
        while self._shelf.is_reserved(key):
            await self._database.settled()
        if self.keeping(key) is not Keeping.UNKNOWN:
            return
        record = encode(finished)
        self._shelf.reserve(key, len(record))
        since = self._clock.wall()
        await self._write(
            [rows.keep(key, record, since)],
            lambda: self._shelf.keep(finished, len(record), since),
            lambda: self._shelf.release(key),
        )

    def put_now(self, _: FinishedJob, /) -> bool:
        """See `node.ports.outbox.Outbox.put_now`: never done, since the disk is always waited for."""
        return False

    async def accept(self, key: JobKey) -> None:
        """See `node.ports.outbox.Outbox.accept`."""
        now = self._clock.wall()
        await self._write(rows.accept(key, now), lambda: self._shelf.accept(key, now))

    async def bury(self, key: JobKey, reason: str) -> None:
        """See `node.ports.outbox.Outbox.bury`."""
        await self._bury([key], reason, self._clock.wall())

    async def revive(self, key: JobKey) -> bool:
        """See `node.ports.outbox.Outbox.revive`; False also for a dead letter that cannot be read."""
        if self._shelf.buried(key) is None:
            return False
        found = await self._database.read(*rows.record(key))
        try:
            finished = decode(found[0][0]) if found else None
        except ValueError:
            return False
        if finished is None or finished.key != key:
            return False
        now = self._clock.wall()
        revived = False

        def apply() -> None:
            nonlocal revived
            revived = self._shelf.revive(key, finished, now)

        await self._write([rows.revive(key, now)], apply)
        return revived

    async def drop(self, key: JobKey) -> bool:
        """See `node.ports.outbox.Outbox.drop`."""
        dropped = False

        def apply() -> None:
            nonlocal dropped
            dropped = self._shelf.drop(key)

        await self._write([rows.drop(key)], apply)
        return dropped

    async def sweep(self, now: float) -> list[JobKey]:
        """See `node.ports.outbox.Outbox.sweep`.

        Raises:
            StorageUnavailable: as for `accept`.
        """
        swept: list[JobKey] = []
        stale = self._shelf.stale(now, _SWEEP_ROWS)
        while stale.results or stale.letters:
            await self._bury(stale.results, expiry_reason(self._policy), now)
            await self._drop_letters(stale.letters)
            swept += stale.results
            stale = self._shelf.stale(now, _SWEEP_ROWS)
        self._shelf.forget(now)
        end = now - self._policy.remember_s
        while (await self._database.read(*rows.forgotten(end)))[0][0]:
            await self._write([rows.forget(end, _SWEEP_ROWS)], lambda: None)
        if (await self._database.read("PRAGMA freelist_count"))[0][0] > _SPARE_PAGES:
            await self._database.compact(_SPARE_PAGES // 4)
        return swept

    async def aclose(self) -> None:
        """See `node.ports.outbox.Outbox.aclose`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._database.aclose()

    async def _bury(self, keys: Sequence[JobKey], reason: str, now: float) -> None:
        if not keys:
            return

        def apply() -> None:
            for key in keys:
                self._shelf.bury(key, reason, now, keep_finished=False)

        await self._write([rows.bury(key, reason, now) for key in keys], apply)

    async def _drop_letters(self, keys: Sequence[JobKey]) -> None:
        if not keys:
            return

        def apply() -> None:
            for key in keys:
                self._shelf.drop_letter(key)

        await self._write([rows.drop_letter(key) for key in keys], apply)

    async def _write(
        self, statements: Sequence[Statement], apply: Callable[[], object], undo: Callable[[], object] = lambda: None
    ) -> None:
        """Make a change durable, then enter it in the books, even when the caller has given up waiting by then."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: StorageUnavailable | None) -> None:
            outcome: Exception | None = error
            self._judge(error)
            try:
                (apply if error is None else undo)()
            except Exception as defect:  # noqa: BLE001 - whoever waits hears of it
                outcome = defect
                if done.done():
                    loop.call_exception_handler({"message": "a defect in the outbox's books", "exception": defect})
            if done.done():
                return
            if outcome is None:
                done.set_result(None)
            else:
                done.set_exception(outcome)

        self._database.submit(statements, settle)
        await done

    def _judge(self, error: StorageUnavailable | None) -> None:
        healthy = error is None
        if healthy is self._healthy:
            return
        self._healthy = healthy
        text = "the disk takes results again" if error is None else f"no new work until the disk takes results: {error}"
        self._events.emit(Notice(TOPIC, text))

    def _watch(self) -> None:
        """Measure the disk, or try it with a write after a failed one; and again and again."""
        self._timer = asyncio.get_running_loop().call_later(self._policy.probe_s, self._watch)
        if self._healthy:
            self._database.submit((), lambda _: None)
        else:
            self._database.submit([rows.probe(self._clock.wall())], self._judge)
