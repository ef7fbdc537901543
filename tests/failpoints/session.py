"""The time in which an outbox is open: what it shows at the start, and the calls under way, noted in a history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from node.domain.errors import StorageUnavailable
from node.domain.results import FinishedJob
from node.outbox.sqlite import SqliteOutbox
from tests.failpoints.findings import Finding, Harm, judge, judge_each, match
from tests.failpoints.history import Change, History, Kept, Waits
from tests.failpoints.product import Product, SetClock, shown_by
from tests.support.events import RecordingSink
from tests.unit.runtime.inline import SlowExecutor

COMMIT_S: Final = 0.01
"""How long the database's thread takes for a call, in virtual time: what comes meanwhile shares a commit."""

Edits: TypeAlias = Mapping[str, Kept | None]
"""What becomes of jobs; None when one goes."""


class Session:
    """Opens an outbox at ``path``, again and again; ``results`` are all that were ever made, by job.

    When the disk may fail (``faulty``), an error is an answer like another. With a ``thread`` the outbox runs on
    its own, otherwise in virtual time.
    """

    def __init__(
        self,
        product: Product,
        path: Path,
        clock: SetClock,
        history: History,
        results: dict[str, FinishedJob],
        *,
        faulty: bool = False,
        thread: bool = False,
    ) -> None:
        self.product = product
        self.clock = clock
        self.history = history
        self.results = results
        self.findings: list[Finding] = []
        self.acknowledged = 0
        """Results of which the outbox said that it keeps them."""
        self.refused: dict[str, None] = {}
        """Jobs whose results the outbox once did not take."""
        self.late = 0
        """Openings that showed a change that had failed."""
        self._path = path
        self.faulty = faulty
        self._thread = thread
        self._outbox: SqliteOutbox | None = None
        self._busy: set[str] = set()
        self._calls: dict[asyncio.Task[None], None] = {}

    async def open(self, random: Random) -> SqliteOutbox:
        """Open the outbox and see that it shows what it may.

        Raises:
            StorageUnavailable: the disk failed.
        """
        executor: Executor | None = None if self._thread else SlowExecutor(COMMIT_S)
        outbox = await self.product.open(self._path, self.clock, RecordingSink(), executor)
        self._outbox = outbox
        self._look(outbox)
        await self._tune(outbox, random)
        return outbox

    async def close(self, outbox: SqliteOutbox) -> None:
        """Wait for the calls and close the outbox."""
        await self.idle()
        await self.attempt(outbox.aclose)

    def start(self, changes: Sequence[Edits], call: Callable[[], Awaitable[object]]) -> None:
        """Begin a call that makes these changes, one transaction each."""
        jobs = [job for edits in changes for job in edits]
        self._busy.update(jobs)

        async def run() -> None:
            before = {job: self.history.now.get(job) for job in jobs}
            asked = [self.history.ask(edits) for edits in changes if edits]
            error = await self.attempt(call)
            self.end(asked, before if error else None)
            if error and len(asked) > 1:
                self._take_over()
            self._busy.difference_update(jobs)

        task = asyncio.create_task(run(), name="call to the outbox")
        self._calls[task] = None
        task.add_done_callback(self._calls.pop)

    def end(self, changes: Sequence[Change], before: Edits | None) -> None:
        """Changes were made, or the outbox holds what it did ``before``."""
        for change in changes:
            if before is None:
                self.history.promised(change)
                self.acknowledged += any(isinstance(kept, Waits) for kept in change.to.values())
            else:
                self.history.failed(change, before)
                self.refused.update((job, None) for job, kept in change.to.items() if isinstance(kept, Waits))

    def is_busy(self, job: str) -> bool:
        """Whether a call with this job is under way."""
        return job in self._busy

    def pass_time(self, seconds: float) -> float:
        """Set the clock on; what it shows then."""
        self.clock.now += seconds
        self.history.time_is(self.clock.now)
        return self.clock.now

    def compare(self, outbox: SqliteOutbox) -> None:
        """See that the outbox shows what the calls have made of it."""
        shown = shown_by(outbox, self.known_jobs())
        self.findings += judge(shown, [self.history.now], self.clock.now)

    async def idle(self) -> None:
        """Wait for all calls."""
        while self._calls:
            await asyncio.gather(*self._calls)

    def known_jobs(self) -> list[str]:
        """All jobs that there ever were."""
        return list(self.results)

    def _look(self, outbox: SqliteOutbox) -> None:
        history, now = self.history, self.clock.now
        shown = shown_by(outbox, self.known_jobs())
        possible = [history.now] if history.is_opened else history.possible(0)
        if (holding := match(shown, possible, now)) is not None:
            history.shown(holding)
        elif self.faulty:
            self.late += 1
            self._take_over()
        else:
            self.findings += judge(shown, possible, now)
            history.shown(shown)

    def _take_over(self) -> None:
        """Go on from what the outbox shows after a fault, if that is something that it was asked for."""
        if self._outbox is None:
            return
        shown = shown_by(self._outbox, self.known_jobs())
        each = self.history.possible_each(self.history.position)
        self.findings += judge_each(shown, each, self.clock.now)
        # As it was asked for, with the times that the outbox does not show.
        asked = {job: next((one for one in each.get(job, []) if one == kept), kept) for job, kept in shown.items()}
        self.history.shown(asked)

    async def _tune(self, outbox: SqliteOutbox, random: Random) -> None:
        """Have the log copied back, begun anew and cut off after little, so that all of it happens in a short run."""
        pages = random.choice((1, 2, 5, 20, 1000))
        limit = random.choice((0, 8192, 16 << 20))
        await self.attempt(lambda: outbox._database.read(f"PRAGMA wal_autocheckpoint={pages}"))
        await self.attempt(lambda: outbox._database.read(f"PRAGMA journal_size_limit={limit}"))

    async def attempt(self, call: Callable[[], Awaitable[object]]) -> Exception | None:
        """Make a call; the error that it ended with."""
        try:
            await call()
        except Exception as error:
            if not isinstance(error, StorageUnavailable):
                self.findings.append(Finding(Harm.WRONG_ERROR, f"{type(error).__name__}: {error}"))
            elif not self.faulty:
                self.findings.append(Finding(Harm.STUCK, str(error)))
            return error
        return None
