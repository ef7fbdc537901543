"""The real outbox, opened on what a crash has left: does it hold what was promised, and does it go on working?"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import TypeAlias

from node.domain.errors import StorageError
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Keeping
from tests.failpoints.disk import Image
from tests.failpoints.findings import Finding, Harm, judge
from tests.failpoints.history import Holding
from tests.failpoints.product import Product, SetClock, key_of, shown_by
from tests.support.events import RecordingSink
from tests.unit.outbox.results import finished
from tests.unit.runtime.inline import InlineExecutor

Judge: TypeAlias = Callable[[Holding], list[Finding]]
"""What is wrong with what an outbox shows."""

_FRESH = "fresh"


def lay_out(image: Image, root: Path, random: Random) -> None:
    """Make the files of an image, and now and then the rubbish that a crash leaves of SQLite's shared memory."""
    for path, content in sorted(image.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
            if path.endswith(".sqlite") and random.random() < 0.5:
                (root / f"{path}-shm").write_bytes(random.randbytes(32768))


class Auditor:
    """Opens what is left, in a folder of its own below ``scratch``; the file is at ``place``."""

    def __init__(self, product: Product, scratch: Path, place: str) -> None:
        self._product = product
        self._root = scratch / "left"
        self._path = self._root / place

    async def audit(
        self, image: Image, jobs: Iterable[str], now: float, random: Random, judge_shown: Judge, *, twice: bool = False
    ) -> list[Finding]:
        """Open an image, see what it shows of these jobs, and use it; ``twice`` to open it once more after that."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()
        lay_out(image, self._root, random)
        jobs = list(jobs)
        try:
            outbox = await self._open(now)
        except StorageError as error:
            return [Finding(Harm.CORRUPT, str(error))]
        try:
            shown = shown_by(outbox, jobs)
            findings = judge_shown(shown) or await _use(outbox)
        finally:
            await outbox.aclose()
        return findings if findings or not twice else await self._look_again(shown, jobs, now)

    async def _look_again(self, before: Holding, jobs: Iterable[str], now: float) -> list[Finding]:
        outbox = await self._open(now)
        try:
            findings = judge(shown_by(outbox, jobs), [before], now)
            if outbox.keeping(key_of(_FRESH)) is not Keeping.ACCEPTED:
                findings.append(Finding(Harm.STUCK, "what was accepted after the crash is not remembered"))
            return findings
        finally:
            await outbox.aclose()

    async def _open(self, now: float) -> SqliteOutbox:
        return await self._product.open(self._path, SetClock(now), RecordingSink(), InlineExecutor())


async def _use(outbox: SqliteOutbox) -> list[Finding]:
    """Check the file, keep a result in it and hand it over."""
    findings: list[Finding] = []
    complaints = await outbox._database.read("PRAGMA integrity_check")
    if complaints != [("ok",)]:
        findings.append(Finding(Harm.CORRUPT, f"{complaints[:3]}"))
    if await outbox._database.read("PRAGMA auto_vacuum") != [(2,)]:
        findings.append(Finding(Harm.CORRUPT, "the file does not give pages back"))
    key = key_of(_FRESH)
    try:
        await outbox.put(finished(_FRESH, node=key.node, text="x" * 5000))
        kept = outbox.keeping(key)
        await outbox.accept(key)
    except StorageError as error:
        return [*findings, Finding(Harm.STUCK, str(error))]
    if (kept, outbox.keeping(key)) != (Keeping.PENDING, Keeping.ACCEPTED) or not outbox.accepting:
        findings.append(Finding(Harm.STUCK, f"a new result is {kept}, and after it was taken {outbox.keeping(key)}"))
    return findings
