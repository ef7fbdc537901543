"""Every state in which a crash or a loss of power can leave the disk of a recorded run, and the audit of each."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from random import Random
from typing import Final, NamedTuple

from tests.failpoints.audit import Auditor
from tests.failpoints.disk import (
    EVERYTHING_BUT_NAMES,
    NAMES_ALONE,
    NOTHING,
    RUBBISH_ALONE,
    Disk,
    Image,
    Survival,
)
from tests.failpoints.findings import Finding, judge
from tests.failpoints.history import History, Holding
from tests.failpoints.steps import Step, Sync, Write

_CHANCES: Final = (0.03, 0.5, 0.97)
_EXTREMES: Final = (NOTHING, EVERYTHING_BUT_NAMES, NAMES_ALONE, RUBBISH_ALONE)


class Depth(NamedTuple):
    """How much of it."""

    runs: int = 3
    sessions: int = 2
    calls: int = 10
    draws: int = 2
    enough: int = 20
    """Findings after which the rest is let be."""


class Kind(Enum):
    """How a run ended."""

    CRASH = "crash point"
    POWER_LOSS = "power loss"


class State(NamedTuple):
    """The disk after an end. ``position`` counts the steps taken whole; ``disk`` is what a restart goes on from."""

    kind: Kind
    position: int
    disk: Disk
    image: Image


@dataclass(slots=True)
class Scene:
    """Where a run starts: a disk, what the outbox on it may hold, and the time."""

    disk: Disk
    possible: list[Holding]
    now: float


@dataclass(slots=True)
class Tally:
    """What was looked at, and the harm that was found."""

    states: Counter[Kind] = field(default_factory=Counter)
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    """Where, and what."""
    acknowledged: int = 0
    """Results that the outbox said it keeps, of all runs."""

    faults: int = 0
    """Calls to the disk that failed."""

    def add(self, where: str, other: Tally) -> None:
        """Count in what was found there."""
        self.states += other.states
        self.acknowledged += other.acknowledged
        self.faults += other.faults
        self.findings += [(f"{where}, {place}", finding) for place, finding in other.findings]


def states(start: Disk, steps: list[Step], random: Random, draws: int) -> Iterator[State]:
    """Before, in the middle of and after every step; of losses of power the extremes and ``draws`` drawn ones."""
    disk = start.copy()
    for position in range(len(steps) + 1):
        yield State(Kind.CRASH, position, disk, disk.seen_image())
        if not disk.settled:
            for survival in (*_EXTREMES, *(drawn(random) for _ in range(draws))):
                image = disk.left(survival, random)
                yield State(Kind.POWER_LOSS, position, Disk.holding(image), image)
        if position == len(steps):
            break
        step = steps[position]
        if isinstance(step, Write):
            for torn in _torn(step, random):
                half = disk.copy()
                half.take(torn)
                yield State(Kind.CRASH, position, half, half.seen_image())
        disk.take(step)


async def survey(
    scene: Scene, steps: list[Step], history: History, jobs: list[str], auditor: Auditor, random: Random, depth: Depth
) -> tuple[Tally, Scene]:
    """Audit every state that differs from those before it; a scene for another run, drawn from them all."""
    tally = Tally()
    looked_at: set[bytes] = set()
    weights = 0
    following = scene
    for state in states(scene.disk, steps, random, depth.draws):
        digest = _digest(state.image, history.phase(state.position))
        if digest in looked_at:
            continue
        if len(tally.findings) >= depth.enough:
            break
        looked_at.add(digest)
        now = history.time_at(state.position)
        possible = history.possible(state.position)
        judge_shown = partial(judge, possible=possible, now=now)
        findings = await auditor.audit(state.image, jobs, now, random, judge_shown, twice=random.random() < 0.1)
        await asyncio.sleep(1)  # so that the virtual clock does not stand still
        tally.states[state.kind] += 1
        tally.findings += [(f"{state.kind.value} at step {state.position}", finding) for finding in findings]
        weight = _weight(state, steps)
        weights += weight
        if random.random() < weight / weights and not findings:
            following = Scene(state.disk.copy(), possible, now)
    return tally, following


def _weight(state: State, steps: list[Step]) -> int:
    """How likely a run goes on from this end: rather from one that leaves much in doubt, just before a sync."""
    before_sync = state.position < len(steps) and isinstance(steps[state.position], Sync)
    return 20 if state.kind is Kind.CRASH and before_sync else 1


def drawn(random: Random) -> Survival:
    """A loss of power like any other."""
    return Survival(
        bytes=random.choice(_CHANCES),
        names=random.choice((0.0, 0.5, 1.0)),
        torn=random.random() < 0.7,
        lengths=random.choice((0.0, 0.5, 1.0)),
        rubbish=random.random() < 0.5,
    )


def _torn(step: Write, random: Random) -> Iterator[Write]:
    size = len(step.data)
    if size > 1:
        for cut in sorted({random.randrange(1, size), size - 1}):
            yield Write(step.file, step.offset, step.data[:cut])


def _digest(image: Image, phase: tuple[int, ...]) -> bytes:
    digest = hashlib.blake2b(repr(phase).encode(), digest_size=16)
    for path, content in sorted(image.items()):
        digest.update(path.encode() + b"\0")
        digest.update(b"folder" if content is None else hashlib.blake2b(content, digest_size=16).digest())
    return digest.digest()
