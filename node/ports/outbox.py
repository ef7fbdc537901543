"""Finished results, kept until they are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.domain.ids import JobKey, NodeId
from node.domain.results import FinishedJob
from node.ports.source import JobSource


class Keeping(Enum):
    """What the outbox knows of a key."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    ACCEPTED = "accepted"
    """Taken less than one lease ago."""
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A result that was refused for good or expired: its key, why, and when (Unix time, seconds)."""

    key: JobKey
    reason: str
    at: float


class Outbox(Protocol):
    """Keeps results from the moment they are finished until they are accepted, refused for good or expired.

    A change is durable when its call returns. Several calls may be under way at once; they are committed
    together.
    """

    async def put(self, finished: FinishedJob) -> None:
        """Keep a result; a key that is already kept stays as it is.

        Raises:
            StorageFull: a bound is reached.
            StorageUnavailable: the disk does not take it.
        """
        ...

    def put_now(self, finished: FinishedJob, /) -> bool:
        """Keep a result as `put` does; False, with nothing done, where that would have to wait or would raise."""
        ...

    def keeping(self, key: JobKey) -> Keeping:
        """What is known of this key."""
        ...

    def pending(self) -> Iterator[FinishedJob]:
        """The results that wait, oldest first."""
        ...

    def dead(self) -> Iterator[DeadLetter]:
        """The dead letters, oldest first."""
        ...

    def count(self, node: NodeId | None = None) -> int:
        """How many results wait: of one node, or of all."""
        ...

    async def accept(self, key: JobKey) -> None:
        """The source has it: forget the result, remember the key for one lease.

        Raises:
            StorageUnavailable: the disk does not take it; the result stays pending and may be sent again.
        """
        ...

    async def bury(self, key: JobKey, reason: str) -> None:
        """Refused for good, or expired: keep it as a dead letter.

        Raises:
            StorageUnavailable: as for `accept`.
        """
        ...

    async def revive(self, key: JobKey) -> bool:
        """Make a dead letter pending again; False when there is none of this key, or it cannot be read.

        Raises:
            StorageUnavailable: as for `accept`.
        """
        ...

    async def drop(self, key: JobKey) -> bool:
        """Remove a result or dead letter for good; False when there is none of this key.

        Raises:
            StorageUnavailable: as for `accept`.
        """
        ...

    async def sweep(self, now: float) -> list[JobKey]:
        """Bury what is older than the policy allows and forget what is older still; returns the newly buried.

        ``now`` is Unix time in seconds.

        Raises:
            StorageUnavailable: as for `accept`; the next sweep makes up for it.
        """
        ...

    @property
    def accepting(self) -> bool:
        """Whether a `put` is likely to succeed: bounds not reached, disk healthy, some of it free."""
        ...

    async def aclose(self) -> None:
        """Finish what is under way and close the file."""
        ...


class ResultSender(Protocol):
    """The one sender of a fleet, as its nodes see it: it takes over a result once it is on disk."""

    @property
    def accepting(self) -> bool:
        """Whether a `put` is likely to succeed; nodes claim no job while it is not."""
        ...

    def keeping(self, key: JobKey) -> Keeping:
        """What is known of this key: a job whose key is known is not run again."""
        ...

    async def put(self, finished: FinishedJob, on_kept: Callable[[], object] = lambda: None) -> None:
        """Keep a result and send it as soon as its node has a session; returns once it is on disk.

        ``on_kept`` is called when it is on disk. A call that is cancelled goes on as `keep_trying`.

        Raises:
            StorageFull: a bound is reached; the result is not kept.
            StorageUnavailable: the disk does not take it; the result is not kept.
        """
        ...

    def put_now(self, finished: FinishedJob, /) -> bool:
        """Do as `put`, without a wait; False, with nothing done, where there would be one or an error."""
        ...

    def keep_trying(self, finished: FinishedJob, on_kept: Callable[[], object]) -> None:
        """Put a result whose node cannot wait for the disk; does nothing for one that is being tried already.

        It ends by ``on_kept``, or by the event `ResultLost` when the sender has to end first.
        """
        ...

    async def send_again(self, key: JobKey) -> None:
        """Send a result that was refused for good once more: its source has handed the job out again.

        Does nothing when there is no dead letter of this key; a disk that does not take the change is told of.
        """
        ...

    def attach(self, node: NodeId, source: JobSource) -> None:
        """The node is in session: its waiting results go out through this source from now on."""
        ...

    def detach(self, node: NodeId) -> None:
        """The node is out of session: its results wait. What is under way is not cut."""
        ...

    async def flushed(self, node: NodeId, timeout_s: float) -> bool:
        """Wait until nothing of this node waits or is under way; False when the time is over first."""
        ...
