"""The checker: holds what processes left behind against what they promised, and against the gateway's ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from tests.crash.evidence import Deed, Key, OutboxCopy, Step
from tests.crash.ledger import Credit, Ledger


class Kind(Enum):
    """What can be wrong."""

    LOST = "lost"
    """A finished result is neither kept nor credited, or was credited without ever having been kept."""
    DOUBLED = "doubled"
    """A job was credited twice, its credit changed, or a node ran it again whose outbox knew its result."""
    UNANSWERED = "unanswered"
    """A job that a node received has no answer, neither at the gateway nor on disk."""
    LATE = "late"
    """A process took longer to end than it may."""
    MISREPORTED = "misreported"
    """A process ended otherwise than it should have, or its exit code does not tell how things stand."""


class Breach(NamedTuple):
    """One thing that is wrong."""

    kind: Kind
    text: str


class WorkerBook:
    """What one outbox has promised, over all the processes that had it.

    A key counts as finished from the moment that its result was acknowledged, by a process's own history, or
    found in the outbox. The outbox must remember accepted keys for longer than the book is kept.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.finished: dict[Key, str] = {}
        """Each finished key, and when it was first known to be."""
        self.last = OutboxCopy()
        self._missing: set[Key] = set()

    def take(self, label: str, history: Sequence[Step], left: OutboxCopy) -> Iterator[Breach]:
        """Enter what a process did and what it left on disk; ``label`` names it in what is found wrong."""
        yield from self._reruns(label, history)
        for step in history:
            if step.deed is Deed.FINISHED:
                self.finished.setdefault(step.key, f"{label}, by its history")
        for key in (*left.pending, *left.dead, *left.accepted):
            self.finished.setdefault(key, f"{label}, in its outbox")
        for key, since in self.finished.items():
            if key not in self._missing and not left.holds(key):
                self._missing.add(key)
                yield Breach(Kind.LOST, f"{_named(key)}: finished in {since}; not in the outbox after {label}")
        for key in self.last.accepted - left.accepted - self._missing:
            yield Breach(Kind.LOST, f"{_named(key)}: accepted before {label}, and waits or is dead after it")
        self.last = left

    def unanswered(self, label: str, history: Iterable[Step]) -> Iterator[Breach]:
        """What a process received and did not answer, which had time to: call it after `take`."""
        for key in dict.fromkeys(step.key for step in history if step.deed is Deed.RECEIVED):
            if not self.last.holds(key):
                yield Breach(Kind.UNANSWERED, f"{_named(key)}: received in {label} and never answered")

    def check(self, ledger: Ledger) -> Iterator[Breach]:
        """Hold the last outbox against the ledger, when the gateway has everything that was to be sent."""
        for key in self.last.pending:
            if not _credited(ledger, key):
                yield Breach(Kind.LOST, f"{_named(key)}: still waits in the outbox, and is not in the ledger")
        for key in self.last.accepted:
            if not _credited(ledger, key):
                yield Breach(Kind.LOST, f"{_named(key)}: accepted by the outbox's word, and not in the ledger")
        for key, reason in self.last.dead.items():
            entry = ledger.jobs.get(key.job)
            if entry is not None and key.node in entry.claims:
                yield Breach(Kind.LOST, f"{_named(key)}: a dead letter of a job that the gateway knows: {reason}")

    def _reruns(self, label: str, history: Sequence[Step]) -> Iterator[Breach]:
        received: set[Key] = set()
        for deed, key in history:
            if deed is not Deed.RECEIVED:
                continue
            if key in self.finished:
                yield Breach(Kind.DOUBLED, f"{_named(key)}: run again in {label}; finished in {self.finished[key]}")
            elif key in received:
                yield Breach(Kind.DOUBLED, f"{_named(key)}: run twice in {label}")
            received.add(key)


class LedgerBook:
    """The credits that a gateway has given, over all its restarts: what is given stays given."""

    def __init__(self) -> None:
        self._credits: dict[str, Credit] = {}

    def take(self, label: str, ledger: Ledger) -> Iterator[Breach]:
        """Enter the ledger as a gateway left it."""
        for job, credit in self._credits.items():
            entry = ledger.jobs.get(job)
            found = None if entry is None else entry.credit
            if found != credit:
                yield Breach(Kind.DOUBLED, f"job {job}: its credit {credit} became {found} by {label}")
        self._credits = {job: entry.credit for job, entry in ledger.jobs.items() if entry.credit is not None}
        yield from _sums(label, ledger)


def check_ledger(ledger: Ledger, books: Sequence[WorkerBook], nodes: Mapping[str, WorkerBook]) -> Iterator[Breach]:
    """The ledger when all is settled, against the books of all workers; ``nodes`` tells each node's."""
    for book in books:
        yield from book.check(ledger)
    for job, entry in ledger.jobs.items():
        if entry.credit is None:
            what = f"claimed by {', '.join(entry.claims)}" if entry.claims else "never claimed"
            yield Breach(Kind.UNANSWERED, f"job {job}: {what}, and not answered in the end")
            continue
        key = Key(entry.credit.node, job)
        if key.node not in entry.claims:
            yield Breach(Kind.DOUBLED, f"{_named(key)}: credited to a node that never claimed it")
        elif not nodes[key.node].last.holds(key):
            yield Breach(Kind.LOST, f"{_named(key)}: credited, and never was in the outbox that it came from")


def _sums(label: str, ledger: Ledger) -> Iterator[Breach]:
    """What a node was credited with is what its jobs show, or a job was credited twice."""
    shown = Counter((entry.credit.node, entry.credit.status) for entry in ledger.jobs.values() if entry.credit)
    for node, (succeeded, failed) in ledger.credited.items():
        of_jobs = (shown[node, "success"], shown[node, "error"])
        if (succeeded, failed) != of_jobs:
            text = f"node {node}: credited with {succeeded}+{failed} jobs in {label}, and the jobs show {of_jobs}"
            yield Breach(Kind.DOUBLED, text)


def _credited(ledger: Ledger, key: Key) -> bool:
    entry = ledger.jobs.get(key.job)
    return entry is not None and entry.credit is not None and key.node in entry.claims


def _named(key: Key) -> str:
    return f"{key.node}/{key.job}"
