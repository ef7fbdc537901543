"""Work for an outbox, drawn from a seed: everything that its interface offers, one call upon another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final

from node.domain.results import FinishedJob
from node.outbox.shelf import expiry_reason
from node.outbox.sqlite import SqliteOutbox
from tests.failpoints.history import Dead, Kept, Taken, Waits
from tests.failpoints.product import POLICY, key_of
from tests.failpoints.session import COMMIT_S, Edits, Session
from tests.unit.outbox.results import finished

SIZES: Final = (10, 600, 2000, 5000, 20_000)
"""Characters of an answer: of a record within a page, and of one over several."""


class Work:
    """Calls to an open outbox, each noted in the history of its session."""

    def __init__(self, session: Session, outbox: SqliteOutbox, random: Random) -> None:
        self._session = session
        self._outbox = outbox
        self._random = random
        self._kinds: Mapping[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "put": (45, self.put),
            "put again": (5, self._put_again),
            "accept": (20, self._accept),
            "bury": (10, self._bury),
            "drop": (5, self._drop),
            "revive": (6, self._revive),
            "sweep": (6, lambda: self.sweep(random.choice((1, 300, 600, 1100)))),
            "compact": (3, self._compact),
        }

    async def run(self, calls: int) -> None:
        """Make so many calls and wait for all."""
        names = list(self._kinds)
        weights = [weight for weight, _ in self._kinds.values()]
        for _ in range(calls):
            (name,) = self._random.choices(names, weights)
            await self._kinds[name][1]()
            if self._random.random() < 0.5:
                await asyncio.sleep(self._random.choice((0.2, 1.0, 3.0)) * COMMIT_S)
        await self._session.idle()

    async def put(self) -> None:
        """Begin to keep a new result."""
        result = new_result(self._random)
        self._session.results[result.key.job] = result
        self._start({result.key.job: self._waits(result)}, lambda: self._outbox.put(result))

    async def _put_again(self) -> None:
        session = self._session
        refused = [job for job in session.refused if job not in session.history.now and not session.is_busy(job)]
        if refused:
            result = session.results[refused[0]]
            self._start({refused[0]: self._waits(result)}, lambda: self._outbox.put(result))
        elif (job := self._some(Waits)) is not None:
            known = session.results[job]
            self._start({}, lambda: self._outbox.put(known))

    async def _accept(self) -> None:
        if (job := self._some(Waits)) is not None:
            self._start({job: Taken(self._now)}, lambda: self._outbox.accept(key_of(job)))

    async def _bury(self) -> None:
        if (job := self._some(Waits)) is not None:
            self._start({job: Dead("HTTP 422", self._now)}, lambda: self._outbox.bury(key_of(job), "HTTP 422"))

    async def _drop(self) -> None:
        if (job := self._some(Waits, Dead)) is not None:
            self._start({job: None}, lambda: self._outbox.drop(key_of(job)))

    async def _revive(self) -> None:
        # Alone: it reads before it asks for the change, so that others could come between.
        await self._session.idle()
        if (job := self._some(Dead)) is not None:
            again = self._waits(self._session.results[job])
            self._start({job: again}, lambda: self._outbox.revive(key_of(job)))
            await self._session.idle()

    async def sweep(self, after_s: float) -> None:
        """Let time pass and sweep; alone, since what is swept depends on what is there."""
        await self._session.idle()
        now = self._session.pass_time(after_s)
        end = now - POLICY.expire_s
        kept = self._session.history.now.items()
        expired = {job: Dead(expiry_reason(POLICY), now) for job, one in kept if _is_old(one, Waits, end)}
        old = {job: None for job, one in kept if _is_old(one, Dead, end)}
        self._session.start([expired, old], lambda: self._outbox.sweep(now))
        await self._session.idle()

    async def _compact(self) -> None:
        await self._session.idle()
        pages = self._random.choice((1, 4, 1000))
        self._start({}, lambda: self._outbox._database.compact(pages))
        await self._session.idle()

    @property
    def _now(self) -> float:
        return self._session.clock.now

    def _waits(self, result: FinishedJob) -> Waits:
        return Waits(result, self._now)

    def _some(self, *kinds: type[Kept]) -> str | None:
        now = self._session.history.now.items()
        jobs = [job for job, kept in now if isinstance(kept, kinds) and not self._session.is_busy(job)]
        return self._random.choice(jobs) if jobs else None

    def _start(self, edits: Edits, call: Callable[[], Awaitable[object]]) -> None:
        self._session.start([edits], call)


def new_result(random: Random) -> FinishedJob:
    """A result that there was not yet."""
    job = f"{random.getrandbits(32):08x}"
    return finished(job, node=key_of(job).node, text=random.choice("abcé") * random.choice(SIZES))


def _is_old(kept: Kept, kind: type[Waits | Dead], end: float) -> bool:
    match kept:
        case Waits(_, at) | Dead(_, at):
            return isinstance(kept, kind) and at <= end
        case Taken():
            return False
