"""The sender at work on the outbox: results leave by a source's verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from node.domain.events import Event, ResultAccepted, ResultBuried
from node.domain.jobs import Job
from node.domain.policies import BackOff, OutboxPolicy
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.outbox.sender import Sender
from node.outbox.sqlite import SqliteOutbox
from node.runtime.signals import Signal
from tests.failpoints.history import Change, Dead, Kept, Taken, Waits
from tests.failpoints.product import NODES, SOURCE
from tests.failpoints.session import COMMIT_S, Session
from tests.failpoints.workload import new_result

_RULINGS: Final = (Ruling.OK, Ruling.OK, Ruling.ALREADY, Ruling.DEAD_LETTER, Ruling.RETRY, Ruling.RETRY)
_POLICY: Final = OutboxPolicy(back_off=BackOff(base_s=0.02, cap_s=0.1), expire_s=1e9, grace_s=0.05, per_node=2)


class Sending:
    """A sender for an open outbox; what it is handed and what sources say is noted in the history of the session.

    A result that is handed to a source must be on disk, and may leave from the source's last word on.
    """

    def __init__(self, session: Session, outbox: SqliteOutbox, random: Random) -> None:
        self._session = session
        self._outbox = outbox
        self._random = random
        self._puts: dict[str, Change] = {}
        self._verdicts: dict[str, Change] = {}

    async def run(self, results: int) -> None:
        """Keep so many results and send what goes; the sender is stopped with others still under way."""
        sender = Sender(self._outbox, self._session.clock, self._random, self, _POLICY)
        stop = Signal()
        run = asyncio.create_task(sender.run(stop), name="sender")
        for node in NODES:
            sender.attach(node, self._session.product.source(self._outbox, _Source(self, self._random)))
        for _ in range(results):
            result = new_result(self._random)
            self._session.results[result.key.job] = result
            self._puts[result.key.job] = change = self._session.history.ask(
                {result.key.job: Waits(result, self._session.clock.now)}
            )
            await sender.put(result)
            self._session.end([change], None)
            if self._random.random() < 0.5:
                await asyncio.sleep(COMMIT_S)
        await asyncio.sleep(self._random.choice((0.0, 0.1, 1.0)))
        stop.set()
        await run

    def emit(self, event: Event) -> None:
        """The sender tells that a source's last word is on disk."""
        match event:
            case ResultAccepted(key) | ResultBuried(key):
                self._session.history.promised(self._verdicts[key.job])

    def sent(self, result: FinishedJob) -> None:
        """A source sees a result: it must be on disk."""
        if (put := self._puts.get(result.key.job)) is not None:
            self._session.history.promised(put)

    def answered(self, result: FinishedJob, verdict: Verdict) -> None:
        """A source says something of a result."""
        job, now = result.key.job, self._session.clock.now
        kept: Kept | None = None
        match verdict.ruling:
            case Ruling.OK | Ruling.ALREADY:
                kept = Taken(now)
            case Ruling.DEAD_LETTER:
                kept = Dead(verdict.reason, now)
        if kept is not None:
            self._verdicts[job] = self._session.history.ask({job: kept})


class _Source:
    """Says anything of a result, after a while."""

    source_id = SOURCE

    def __init__(self, sending: Sending, random: Random) -> None:
        self._sending = sending
        self._random = random

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        return None

    async def settle(self, finished: FinishedJob) -> Verdict:
        self._sending.sent(finished)
        await asyncio.sleep(self._random.choice((0.0, 0.3, 2.0)) * COMMIT_S)
        verdict = Verdict(self._random.choice(_RULINGS), "as drawn")
        self._sending.answered(finished, verdict)
        return verdict
