"""A seed: runs of the real outbox, each begun on what a crash has left of the one before, and all their ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from node.domain.results import FinishedJob
from tests.failpoints.audit import Auditor, lay_out
from tests.failpoints.disk import Disk
from tests.failpoints.findings import Finding, Harm
from tests.failpoints.history import History
from tests.failpoints.product import Product, SetClock
from tests.failpoints.recording import Recording
from tests.failpoints.sending import Sending
from tests.failpoints.session import Session
from tests.failpoints.survey import Depth, Scene, Tally, survey
from tests.failpoints.workload import Work

PLACES: Final = ("outbox.sqlite", "state/outbox.sqlite", "var/state/outbox.sqlite", "var/lib/node/outbox.sqlite")
"""Where the outbox is made, in a folder that is there: with none, one or more folders that are not."""

_SHARED_MEMORY: Final = Path("/dev/shm")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes with the block; in memory where that can be."""
    where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="failpoints-", dir=where) as name:
        yield Path(name).resolve()


async def crash_everywhere(seed: int, product: Product, depth: Depth) -> Tally:
    """The runs of a seed and the audit of all their ends."""
    random = Random(seed)
    tally = Tally()
    clock = SetClock()
    results: dict[str, FinishedJob] = {}
    scene = Scene(Disk(), [{}], clock.now)
    place = random.choice(PLACES)
    with scratch_folder() as scratch:
        for number in range(depth.runs):
            if tally.findings:
                break  # what follows would begin on it
            root = scratch / f"run-{number}"
            root.mkdir()
            lay_out(scene.disk.seen_image(), root, random)
            recording = Recording(root, files=scene.disk.numbers)
            clock.now = scene.now + 1
            history = History(recording, scene.possible, clock.now)
            session = Session(product, root / place, clock, history, results)
            with recording.running(random.getrandbits(32)):
                for _ in range(depth.sessions):
                    await _work(session, random, depth.calls)
            where = f"seed {seed}, run {number}"
            tally.findings += [(where, finding) for finding in session.findings]
            tally.findings += [(where, finding) for finding in check_recording(scene.disk, recording)]
            tally.acknowledged += session.acknowledged
            auditor = Auditor(product, scratch, place)
            looked_at, scene = await survey(
                scene, recording.steps, history, session.known_jobs(), auditor, random, depth
            )
            tally.add(where, looked_at)
    return tally


async def _work(session: Session, random: Random, calls: int) -> None:
    """A session: calls of all kinds, or the sender's."""
    outbox = await session.open(random)
    work = Work(session, outbox, random)
    if random.random() < 1 / 3:
        await work.sweep(0)  # the sender's own sweep is not in the history, and so must find nothing
        await Sending(session, outbox, random).run(calls)
    else:
        await work.run(calls)
    session.compare(outbox)
    await session.close(outbox)


def check_recording(start: Disk, recording: Recording) -> list[Finding]:
    """See that the steps make of the disk what the program made of it."""
    disk = start.copy()
    for step in recording.steps:
        disk.take(step)
    image = disk.seen_image()
    real = {
        str(path.relative_to(recording.root)): path.read_bytes() if path.is_file() else None
        for path in sorted(recording.root.rglob("*"))
        if recording.place(path) is not None
    }
    if image == real:
        return []
    wrong = [path for path in sorted({*image, *real}) if image.get(path, b"") != real.get(path, b"")]
    return [Finding(Harm.DISORDER, f"the recording is not what happened: {wrong}")]
