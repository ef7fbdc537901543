"""Where a process stands in a commit, in a page that it shares with the harness and that outlives its death."""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path


class Place(IntEnum):
    """Where the outbox's thread is."""

    OUTSIDE = 0
    OPEN = 1
    """A transaction is open: after BEGIN, before COMMIT."""
    COMMITTING = 2
    """Within COMMIT: its writes and syncs are under way."""


class Marks:
    """The page, as the process that writes it has it."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def stand(self, place: Place) -> None:
        """The thread is here now; one byte, so that it is never half written."""
        self._page[0] = place


def read_marks(path: Path) -> Place:
    """Where a process that has ended stood last; a process without marks was nowhere."""
    return Place(path.read_bytes()[0]) if path.exists() else Place.OUTSIDE
