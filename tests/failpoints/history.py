"""What an outbox was asked to keep and remove, what it promised by when, and so what it may hold after a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from node.domain.results import FinishedJob
from tests.failpoints.recording import Recording


@dataclass(frozen=True, slots=True)
class Waits:
    """A result that waits, and since when; the age does not count when two are compared."""

    finished: FinishedJob
    since: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter."""

    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """An accepted key, and when it was; the time does not count when two are compared."""

    at: float = field(compare=False)


Kept: TypeAlias = Waits | Dead | Taken
Holding: TypeAlias = Mapping[str, Kept]
"""What an outbox holds, by job."""


@dataclass(slots=True)
class Change:
    """Something asked of the outbox; times are numbers of steps. ``to`` is None for a job that goes."""

    to: Mapping[str, Kept | None]
    asked_at: int
    ended_at: int | None = None
    failed: bool = False


class History:
    """The changes asked of an outbox during a recording, in order; ``before`` is what it may hold at the start.

    What an outbox shows once it is open counts as promised: a program acts on it.
    """

    def __init__(self, recording: Recording, before: Sequence[Holding], time: float) -> None:
        self._recording = recording
        self._times = [(0, time)]
        self._before = before
        self._opened_at: int | None = None
        self._opened_with: Holding = {}
        self.changes: list[Change] = []
        self.now: dict[str, Kept] = {}
        """What the outbox holds when all goes well."""

    @property
    def position(self) -> int:
        """The number of steps so far."""
        return self._recording.position

    def time_is(self, time: float) -> None:
        """The clock was set."""
        self._times.append((self._recording.position, time))

    def time_at(self, position: int) -> float:
        """What the clock showed after so many steps."""
        return max(time for since, time in self._times if since <= position)

    def shown(self, holding: Holding) -> None:
        """The outbox was opened and shows this."""
        if self._opened_at is None:
            self._opened_at = self._recording.position
            self._opened_with = dict(holding)
            self.now = dict(holding)
            return
        jobs = holding.keys() | self.now.keys()
        found = {job: holding.get(job) for job in sorted(jobs) if holding.get(job) != self.now.get(job)}
        if found:
            self.promised(self.ask(found))

    @property
    def is_opened(self) -> bool:
        """Whether the outbox was ever open."""
        return self._opened_at is not None

    def ask(self, to: Mapping[str, Kept | None]) -> Change:
        """A change is asked for, behind all others."""
        change = Change(to, self._recording.position)
        self.changes.append(change)
        _apply(self.now, to)
        return change

    def promised(self, change: Change) -> None:
        """The outbox said that a change is durable."""
        if change.ended_at is None:
            change.ended_at = self._recording.position

    def failed(self, change: Change, before: Mapping[str, Kept | None]) -> None:
        """The outbox said that it could not; ``before`` is what it held of those jobs."""
        change.ended_at = self._recording.position
        change.failed = True
        _apply(self.now, before)

    def possible(self, position: int) -> list[Holding]:
        """What the outbox may hold when all ends here, the disk never having failed.

        Changes are made durable in the order in which they were asked for: all that were promised are there,
        and of the others any number, none after a missing one.
        """
        if not self._is_opened(position):
            return list(self._before)
        promised, asked = self._window(position)
        holding = dict(self._opened_with)
        found: list[Holding] = []
        for number in range(asked + 1):
            if number:
                _apply(holding, self.changes[number - 1].to)
            if number >= promised:
                found.append(dict(holding))
        return found

    def possible_each(self, position: int) -> dict[str, list[Kept | None]]:
        """What may be held of each job when all ends here, the disk having failed meanwhile.

        A change that failed may turn out to have been made: its bytes may have reached the disk.
        """
        found: dict[str, list[Kept | None]] = {job: [kept] for job, kept in self._opened_with.items()}
        for change in self.changes:
            if change.asked_at > position:
                break
            sure = change.ended_at is not None and change.ended_at <= position and not change.failed
            for job, kept in change.to.items():
                found[job] = [kept] if sure else [*found.get(job, [None]), kept]
        return found

    def phase(self, position: int) -> tuple[int, ...]:
        """What decides about what is possible: equal for positions between which nothing was asked or promised."""
        return self._window(position) if self._is_opened(position) else ()

    def _is_opened(self, position: int) -> bool:
        return self._opened_at is not None and self._opened_at <= position

    def _window(self, position: int) -> tuple[int, int]:
        """How many changes were promised by then, and how many asked for."""
        promised = asked = 0
        for number, change in enumerate(self.changes, start=1):
            if change.asked_at <= position:
                asked = number
            if change.ended_at is not None and change.ended_at <= position:
                promised = number
        return promised, asked


def _apply(holding: dict[str, Kept], to: Mapping[str, Kept | None]) -> None:
    for job, kept in to.items():
        if kept is None:
            holding.pop(job, None)
        else:
            holding[job] = kept
