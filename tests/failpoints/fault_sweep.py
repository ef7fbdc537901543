"""A run of the real outbox, again and again, each time with another call to the disk failing."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from node.domain.errors import StorageUnavailable
from node.outbox.sqlite import SqliteOutbox
from tests.failpoints.audit import Auditor
from tests.failpoints.campaign import PLACES, scratch_folder
from tests.failpoints.disk import NOTHING, Disk
from tests.failpoints.faults import FAULTS_OF, Disorder
from tests.failpoints.findings import judge_each
from tests.failpoints.history import History
from tests.failpoints.product import Product, SetClock
from tests.failpoints.recording import Recording
from tests.failpoints.session import Session
from tests.failpoints.steps import Step
from tests.failpoints.survey import Kind, Tally, drawn
from tests.failpoints.workload import Work

LENGTHS: Final = (1, 10**9)
"""How many calls fail: one, or all until the disk is mended."""

_CALLS_WHEN_MENDED: Final = 3
_ENDS: Final = 3
"""Moments after the fault at which the run is ended, by a crash and by a loss of power."""


async def fail_everywhere(seed: int, product: Product, *, calls: int = 6, every: int = 1, enough: int = 20) -> Tally:
    """Every fault at ``every`` how-manieth call to the disk in the run of this seed."""
    tally = Tally()
    with scratch_folder() as scratch:
        sound = _Run(seed, product, scratch, Disorder(), calls)
        await sound.run()
        tally.add(f"seed {seed}, no fault", sound.tally)
        for first in range(seed % every, len(sound.disorder.calls), every):
            for fault in FAULTS_OF[sound.disorder.calls[first]]:
                for length in LENGTHS:
                    run = _Run(seed, product, scratch, Disorder(fault, first, length), calls)
                    await run.run()
                    call = sound.disorder.calls[first].value
                    how_long = "once" if length == 1 else "until mended"
                    where = f"seed {seed}, call {first} ({call}) fails {how_long} with {fault.name}"
                    tally.add(where, run.tally)
                    if len(tally.findings) >= enough:
                        return tally
    return tally


class _Run:
    """Two sessions on a disk that may fail, and what is left of them."""

    def __init__(self, seed: int, product: Product, scratch: Path, disorder: Disorder, calls: int) -> None:
        self.tally = Tally()
        self.disorder = disorder
        self._seed = seed
        self._calls = calls
        self._random = Random(seed)
        self._product = product
        self._scratch = scratch
        self._place = self._random.choice(PLACES)

    async def run(self) -> None:
        """Two sessions, the disk mended in the second, and an audit of what ends on the way would have left."""
        root = self._scratch / "run"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        recording = Recording(root, self.disorder)
        clock = SetClock()
        history = History(recording, [{}], clock.now)
        session = Session(self._product, root / self._place, clock, history, {}, faulty=True)
        with recording.running(self._seed):
            outbox = await self._open(session)
            await self._work(session, outbox, self._calls)
            await session.close(outbox)
            outbox = await self._open(session)
            await self._work(session, outbox, self._calls)
            session.compare(outbox)
            self.disorder.end()
            session.faulty = False
            await self._work(session, outbox, _CALLS_WHEN_MENDED)
            session.compare(outbox)
            before_close = recording.position
            await session.close(outbox)
            outbox = await session.open(self._random)
            await session.close(outbox)
        self.tally.acknowledged = session.acknowledged
        self.tally.faults = self.disorder.struck
        self.tally.findings = [("", finding) for finding in session.findings]
        await self._audit(recording.steps, history, session.known_jobs(), before_close)

    async def _open(self, session: Session) -> SqliteOutbox:
        try:
            return await session.open(self._random)
        except StorageUnavailable:
            self.disorder.end()
            return await session.open(self._random)

    async def _work(self, session: Session, outbox: SqliteOutbox, calls: int) -> None:
        work = Work(session, outbox, self._random)
        await work.put()
        await work.run(calls)

    async def _audit(self, steps: list[Step], history: History, jobs: list[str], before_close: int) -> None:
        ends = {before_close} | {self._random.randrange(before_close) for _ in range(_ENDS)}
        auditor = Auditor(self._product, self._scratch, self._place)
        disk = Disk()
        for position in range(before_close + 1):
            if position in ends:
                now = history.time_at(position)
                judge_shown = partial(judge_each, possible=history.possible_each(position), now=now)
                left = [(Kind.CRASH, disk.seen_image())]
                left += [
                    (Kind.POWER_LOSS, disk.left(survival, self._random)) for survival in (NOTHING, drawn(self._random))
                ]
                for kind, image in left:
                    findings = await auditor.audit(image, jobs, now, self._random, judge_shown)
                    self.tally.states[kind] += 1
                    self.tally.findings += [(f"{kind.value} at step {position}", finding) for finding in findings]
                    await asyncio.sleep(1)
            disk.take(steps[position])
