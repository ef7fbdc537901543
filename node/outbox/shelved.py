"""What both kinds of outbox answer from their shelf."""

from __future__ import annotations

from collections.abc import Iterator

from node.domain.ids import JobKey, NodeId
from node.domain.results import FinishedJob
from node.outbox.shelf import Shelf
from node.ports.clock import Clock
from node.ports.outbox import DeadLetter, Keeping


class Shelved:
    """The questions to an outbox: all are answered from its shelf."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._clock = clock

    def keeping(self, key: JobKey) -> Keeping:
        """See `node.ports.outbox.Outbox.keeping`."""
        return self._shelf.keeping(key, self._clock.wall())

    def pending(self) -> Iterator[FinishedJob]:
        """See `node.ports.outbox.Outbox.pending`."""
        return self._shelf.pending()

    def dead(self) -> Iterator[DeadLetter]:
        """See `node.ports.outbox.Outbox.dead`."""
        return self._shelf.dead()

    def count(self, node: NodeId | None = None) -> int:
        """See `node.ports.outbox.Outbox.count`."""
        return self._shelf.count(node)
