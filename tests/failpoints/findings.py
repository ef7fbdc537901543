"""What a crash or a fault must not do, and whether what an outbox shows says that it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.failpoints.history import Dead, Holding, Kept, Taken, Waits
from tests.failpoints.product import POLICY


class Harm(Enum):
    """What must not be."""

    LOST = "a promised result is gone or altered"
    CORRUPT = "the file cannot be opened or is damaged"
    UNDONE = "a promised removal is undone"
    DISORDER = "the outbox shows what nobody asked of it, or changes without others before them"
    STUCK = "the outbox does not go on working"
    WRONG_ERROR = "a fault of the disk was told as something else"


@dataclass(frozen=True, slots=True)
class Finding:
    """Harm that was done."""

    harm: Harm
    text: str

    def __str__(self) -> str:
        return f"{self.harm.value}: {self.text}"


def as_shown(holding: Holding, now: float) -> Holding:
    """What an outbox that holds this shows at a time: accepted keys are forgotten when theirs is over."""
    return {job: kept for job, kept in holding.items() if not _is_forgotten(kept, now)}


def match(shown: Holding, possible: Sequence[Holding], now: float) -> Holding | None:
    """The one that is shown, of all that the outbox may hold."""
    return next((holding for holding in possible if as_shown(holding, now) == shown), None)


def judge(shown: Holding, possible: Sequence[Holding], now: float) -> list[Finding]:
    """What is wrong when the outbox must hold one of these."""
    if match(shown, possible, now) is not None:
        return []
    jobs = {job: None for holding in possible for job in holding}
    each = {job: [holding.get(job) for holding in possible] for job in jobs}
    return judge_each(shown, each, now) or [Finding(Harm.DISORDER, _names(shown))]


def judge_each(shown: Holding, possible: Mapping[str, Sequence[Kept | None]], now: float) -> list[Finding]:
    """What is wrong when the outbox may hold any of these of each job, and nothing of others."""
    findings: list[Finding] = []
    for job in sorted({*possible, *shown}):
        may_be = [None if _is_forgotten(kept, now) else kept for kept in possible.get(job, [None])]
        kept = shown.get(job)
        if kept not in may_be:
            names = " or ".join(sorted({_name(other) for other in may_be}))
            findings.append(Finding(_harm(kept, may_be), f"{job} is {_name(kept)} and not {names}"))
    return findings


def _is_forgotten(kept: Kept | None, now: float) -> bool:
    return isinstance(kept, Taken) and kept.at <= now - POLICY.remember_s


def _harm(kept: Kept | None, may_be: Sequence[Kept | None]) -> Harm:
    if any(isinstance(other, Waits) for other in may_be):
        return Harm.LOST
    if isinstance(kept, Waits) or any(isinstance(other, Taken) for other in may_be):
        return Harm.UNDONE
    return Harm.LOST if any(isinstance(other, Dead) for other in may_be) else Harm.DISORDER


def _name(kept: Kept | None) -> str:
    return "gone" if kept is None else type(kept).__name__.lower()


def _names(shown: Holding) -> str:
    return ", ".join(f"{job} {_name(kept)}" for job, kept in shown.items()) or "nothing"
