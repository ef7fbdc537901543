"""An outbox without a disk: for runs whose results need not outlive the program."""

from __future__ import annotations

from node.domain.errors import StorageFull
from node.domain.ids import JobKey
from node.domain.policies import OutboxPolicy
from node.domain.results import FinishedJob
from node.outbox.shelf import Shelf, expiry_reason, size_in_memory
from node.outbox.shelved import Shelved
from node.ports.clock import Clock


class MemoryOutbox(Shelved):
    """The twin of `node.outbox.sqlite.SqliteOutbox`: all of it but the disk. Never waits, never fails."""

    def __init__(self, policy: OutboxPolicy, clock: Clock) -> None:
        super().__init__(Shelf(policy), clock)
        self._expiry = expiry_reason(policy)

    @property
    def accepting(self) -> bool:
        """See `node.ports.outbox.Outbox.accepting`."""
        return not self._shelf.full

    async def put(self, finished: FinishedJob) -> None:
        """See `node.ports.outbox.Outbox.put`."""
        self._put(finished)

    def put_now(self, finished: FinishedJob, /) -> bool:
        """See `node.ports.outbox.Outbox.put_now`."""
        try:
            return self._put(finished)
        except StorageFull:
            return False

    async def accept(self, key: JobKey) -> None:
        """See `node.ports.outbox.Outbox.accept`."""
        self._shelf.accept(key, self._clock.wall())

    async def bury(self, key: JobKey, reason: str) -> None:
        """See `node.ports.outbox.Outbox.bury`."""
        self._shelf.bury(key, reason, self._clock.wall(), keep_finished=True)

    async def revive(self, key: JobKey) -> bool:
        """See `node.ports.outbox.Outbox.revive`."""
        buried = self._shelf.buried(key)
        if buried is None or buried.finished is None:
            return False
        return self._shelf.revive(key, buried.finished, self._clock.wall())

    async def drop(self, key: JobKey) -> bool:
        """See `node.ports.outbox.Outbox.drop`."""
        return self._shelf.drop(key)

    async def sweep(self, now: float) -> list[JobKey]:
        """See `node.ports.outbox.Outbox.sweep`."""
        stale = self._shelf.stale(now)
        for key in stale.results:
            self._shelf.bury(key, self._expiry, now, keep_finished=True)
        for key in stale.letters:
            self._shelf.drop_letter(key)
        self._shelf.forget(now)
        return stale.results

    async def aclose(self) -> None:
        """See `node.ports.outbox.Outbox.aclose`."""

    def _put(self, finished: FinishedJob) -> bool:
        return self._shelf.put(finished, size_in_memory(finished), self._clock.wall())
