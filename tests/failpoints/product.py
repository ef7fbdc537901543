"""The outbox that is put to the test, as the harness opens and questions it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import BackOff, OutboxPolicy
from node.outbox.sqlite import SqliteOutbox
from node.ports.events import EventSink
from node.ports.outbox import Keeping
from node.ports.source import JobSource
from tests.failpoints.history import Dead, Kept, Taken, Waits

POLICY: Final = OutboxPolicy(
    back_off=BackOff(base_s=0.02, cap_s=0.1), expire_s=1000.0, remember_s=500.0, min_free_bytes=0, grace_s=0.05
)

SOURCE: Final = SourceId("http://gateway")
NODES: Final = (NodeId("n1"), NodeId("n2"), NodeId("n3"))


class SetClock:
    """A wall clock that is set by hand, so that a seed gives the same bytes; time passes on the event loop's."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Product:
    """How the real outbox is opened, and what stands between it and a source: planted bugs have their own."""

    policy = POLICY

    async def open(self, path: Path, clock: SetClock, events: EventSink, executor: Executor | None) -> SqliteOutbox:
        """Open the outbox.

        Raises:
            StorageError: as `SqliteOutbox.open`.
        """
        return await SqliteOutbox.open(path, self.policy, clock, events, executor=executor)

    def source(self, outbox: SqliteOutbox, source: JobSource) -> JobSource:
        """What the sender of this outbox is attached to."""
        return source


def key_of(job: str) -> JobKey:
    """The key of a job: its node follows from its name."""
    return JobKey(SOURCE, NODES[sum(job.encode()) % len(NODES)], JobId(job))


def shown_by(outbox: SqliteOutbox, jobs: Iterable[str]) -> dict[str, Kept]:
    """All that an outbox shows; accepted keys among these jobs, since it lists none. It tells no ages."""
    shown: dict[str, Kept] = {finished.key.job: Waits(finished, math.inf) for finished in outbox.pending()}
    shown.update((letter.key.job, Dead(letter.reason, letter.at)) for letter in outbox.dead())
    shown.update((job, Taken(math.inf)) for job in jobs if outbox.keeping(key_of(job)) is Keeping.ACCEPTED)
    return shown
