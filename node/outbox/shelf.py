"""What an outbox holds, in memory: the index by key, the counts, the bounds and the ages.

Both kinds of outbox keep their books here and answer questions from here; they differ in what makes a change
durable. Times are Unix times in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final, NamedTuple

from node.domain.errors import StorageFull
from node.domain.ids import JobKey, NodeId
from node.domain.policies import OutboxPolicy
from node.domain.results import Embeddings, Failure, FinishedJob
from node.ports.outbox import DeadLetter, Keeping

# Looked up once: on Python 3.11 a member of an enum takes as long to find as a call.
_PENDING: Final = Keeping.PENDING
_UNKNOWN: Final = Keeping.UNKNOWN

MOST_REMEMBERED: Final = 1_000_000
"""Accepted keys that are remembered at once, some 270 bytes each: above 3,000 results a second, less than a lease of 300 s."""


_OVERHEAD_BYTES: Final = 512
"""What a result counts for besides its text: about the size of the rest of its record on disk."""

_NUMBER_BYTES: Final = 20
"""What a number of a vector counts for, as it is written."""


def size_in_memory(finished: FinishedJob) -> int:
    """The bytes that a result counts for where it is written to no disk."""
    outcome = finished.outcome
    if isinstance(outcome, Failure):
        return len(outcome.reason) + _OVERHEAD_BYTES
    output = outcome.output
    if isinstance(output, Embeddings):
        return _NUMBER_BYTES * sum(map(len, output.vectors)) + _OVERHEAD_BYTES
    return len(output.text) + _OVERHEAD_BYTES


def expiry_reason(policy: OutboxPolicy) -> str:
    """Why a result is buried that nobody took in time."""
    return f"not taken within {policy.expire_s:g} s"


class Waiting(NamedTuple):
    """A result that waits, since when, and how many bytes it counts for."""

    finished: FinishedJob
    size: int
    since: float


class Buried(NamedTuple):
    """A dead letter, and the result itself where it is held in memory."""

    letter: DeadLetter
    size: int
    finished: FinishedJob | None


class Stale(NamedTuple):
    """What has had its time: results to bury and dead letters to remove."""

    results: list[JobKey]
    letters: list[JobKey]


class Shelf:
    """The books of an outbox. Every change leaves alone what it does not find in the state it expects."""

    def __init__(self, policy: OutboxPolicy, most_remembered: int = MOST_REMEMBERED) -> None:
        self._policy = policy
        self._most_remembered = most_remembered
        self._waiting: dict[JobKey, Waiting] = {}
        self._buried: dict[JobKey, Buried] = {}
        self._accepted: dict[JobKey, float] = {}
        self._reserved: dict[JobKey, int] = {}
        self._per_node: dict[NodeId, int] = {}
        self._bytes = 0
        self._reserved_bytes = 0
        self._buried_bytes = 0

    @property
    def full(self) -> bool:
        """Whether a bound is reached."""
        number = len(self._waiting) + len(self._reserved)
        return number >= self._policy.max_results or self._bytes + self._reserved_bytes >= self._policy.max_bytes

    def keeping(self, key: JobKey, now: float) -> Keeping:
        """What is known of a key; one that is being put counts as waiting."""
        # A key's hash takes as long as a call: it is looked up where something may be.
        if key in self._waiting or (self._reserved and key in self._reserved):
            return _PENDING
        if self._buried and key in self._buried:
            return Keeping.DEAD
        at = self._accepted.get(key)
        return _UNKNOWN if at is None or at <= now - self._policy.remember_s else Keeping.ACCEPTED

    def pending(self) -> Iterator[FinishedJob]:
        """What waits now, oldest first; changes meanwhile do not matter."""
        return iter([waiting.finished for waiting in self._waiting.values()])

    def dead(self) -> Iterator[DeadLetter]:
        """The dead letters there are now, oldest first; changes meanwhile do not matter."""
        return iter([buried.letter for buried in self._buried.values()])

    def buried(self, key: JobKey) -> Buried | None:
        """The dead letter of this key."""
        return self._buried.get(key)

    def count(self, node: NodeId | None = None) -> int:
        """How many wait: of one node, or of all."""
        return len(self._waiting) if node is None else self._per_node.get(node, 0)

    def is_reserved(self, key: JobKey) -> bool:
        """Whether room is held for this key."""
        return key in self._reserved

    def reserve(self, key: JobKey, size: int) -> None:
        """Hold room for a result until `keep` or `release`.

        Raises:
            StorageFull: there is not enough.
        """
        self.require_room(size)
        self._reserved[key] = size
        self._reserved_bytes += size

    def require_room(self, size: int) -> None:
        """Make sure that a result of this size may be kept.

        Raises:
            StorageFull: there is not enough.
        """
        if len(self._waiting) + len(self._reserved) >= self._policy.max_results:
            raise StorageFull(f"the outbox holds {self._policy.max_results} results")
        if self._bytes + self._reserved_bytes + size > self._policy.max_bytes:
            raise StorageFull(f"the outbox holds {self._policy.max_bytes} bytes of results")

    def release(self, key: JobKey) -> None:
        """Give up the room held for a key."""
        self._reserved_bytes -= self._reserved.pop(key, 0)

    def put(self, finished: FinishedJob, size: int, since: float) -> bool:
        """A result waits, unless its key is known; whether it was not.

        Raises:
            StorageFull: there is not enough room.
        """
        if self.keeping(finished.key, since) is not _UNKNOWN:
            return False
        self.require_room(size)
        self.keep(finished, size, since)
        return True

    def keep(self, finished: FinishedJob, size: int, since: float) -> None:
        """A result waits."""
        key, waiting = finished.key, Waiting(finished, size, since)
        if self._reserved and key in self._reserved:
            self.release(key)
        if self._waiting.setdefault(key, waiting) is not waiting:
            self._remove_waiting(key)
            self._waiting[key] = waiting
        self._bytes += size
        node = key.node
        self._per_node[node] = self._per_node.get(node, 0) + 1

    def remember(self, key: JobKey, at: float) -> None:
        """A key was accepted. Beyond the bound the oldest are forgotten before their time."""
        accepted = self._accepted
        number = len(accepted)
        if number >= self._most_remembered and key not in accepted:
            # Some at once: to find the first key of a dict takes the longer the more were removed before it.
            for oldest in list(islice(accepted, self._most_remembered // 16 + 1)):
                del accepted[oldest]
            number = len(accepted)
        accepted[key] = at
        if len(accepted) == number:
            # It was there: the last to be remembered is the last to be forgotten.
            del accepted[key]
            accepted[key] = at

    def accept(self, key: JobKey, now: float) -> None:
        """The source has the result, whatever was held of it: waiting or given up."""
        self._remove_waiting(key)
        if self._buried:
            self._remove_buried(key)
        self.remember(key, now)

    def bury(self, key: JobKey, reason: str, now: float, *, keep_finished: bool) -> bool:
        """Make a waiting result a dead letter; whether there was one."""
        waiting = self._remove_waiting(key)
        if waiting is None:
            return False
        finished = waiting.finished if keep_finished else None
        self.keep_letter(DeadLetter(key, reason, now), waiting.size, finished)
        return True

    def keep_letter(self, letter: DeadLetter, size: int, finished: FinishedJob | None = None) -> None:
        """There is a dead letter."""
        self._remove_buried(letter.key)
        self._buried[letter.key] = Buried(letter, size, finished)
        self._buried_bytes += size

    def revive(self, key: JobKey, finished: FinishedJob, now: float) -> bool:
        """Make a dead letter wait again; whether there was one."""
        buried = self._remove_buried(key)
        if buried is None:
            return False
        self.keep(finished, buried.size, now)
        return True

    def drop(self, key: JobKey) -> bool:
        """Remove what waits or is dead; whether there was anything."""
        return self._remove_waiting(key) is not None or self._remove_buried(key) is not None

    def drop_letter(self, key: JobKey) -> None:
        """Remove a dead letter."""
        self._remove_buried(key)

    def stale(self, now: float, limit: int | None = None) -> Stale:
        """What has had its time, or has no room as a dead letter; ``limit`` of each at most."""
        end = now - self._policy.expire_s
        results: list[JobKey] = []
        for key, waiting in islice(self._waiting.items(), limit):
            if waiting.since > end:
                break
            results.append(key)
        letters: list[JobKey] = []
        number, size = len(self._buried), self._buried_bytes
        for key, buried in islice(self._buried.items(), limit):
            fits = number <= self._policy.max_results and size <= self._policy.max_bytes
            if buried.letter.at > end and fits:
                break
            letters.append(key)
            number -= 1
            size -= buried.size
        return Stale(results, letters)

    def forget(self, now: float) -> None:
        """Forget the accepted keys whose time is over."""
        end = now - self._policy.remember_s
        for key in list(takewhile(lambda key: self._accepted[key] <= end, self._accepted)):
            del self._accepted[key]

    def _remove_waiting(self, key: JobKey) -> Waiting | None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return None
        self._bytes -= waiting.size
        left = self._per_node[key.node] - 1
        if left:
            self._per_node[key.node] = left
        else:
            del self._per_node[key.node]
        return waiting

    def _remove_buried(self, key: JobKey) -> Buried | None:
        buried = self._buried.pop(key, None)
        if buried is not None:
            self._buried_bytes -= buried.size
        return buried
