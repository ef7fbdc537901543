"""What a program did to the disk below one folder, and the names and faults of that disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.failpoints.abi import Library
from tests.failpoints.faults import Call, Disorder, Fault
from tests.failpoints.steps import Create, MakeFolder, Step, Unlink

SHARED_MEMORY = "-shm"
"""The end of the name of a file that SQLite keeps for running processes alone and makes anew after a crash."""


class Recording:
    """The steps so far. ``files`` are the numbers of the files that there are already, by path."""

    def __init__(self, root: Path, disorder: Disorder | None = None, files: Mapping[str, int] | None = None) -> None:
        self.root = root.resolve()
        self.disorder = disorder or Disorder()
        self.steps: list[Step] = []
        self.defects: list[BaseException] = []
        """What went wrong in the recording itself."""
        self._files = dict(files or {})
        self._made = max(self._files.values(), default=-1) + 1

    @property
    def position(self) -> int:
        """The number of steps so far."""
        return len(self.steps)

    @contextmanager
    def running(self, seed: int) -> Iterator[None]:
        """Record what the block does, in Python and in SQLite, whose random numbers come from the seed.

        Raises:
            OSError: SQLite is not to be reached; see `Library.of_python`.
        """
        from tests.failpoints.sqlite_calls import sqlite_recorded
        from tests.failpoints.system_calls import system_recorded

        with system_recorded(self), sqlite_recorded(self, Library.of_python(), seed):
            yield
        if self.defects:
            raise self.defects[0]

    def place(self, path: str | bytes | os.PathLike[str] | int) -> str | None:
        """The path below the watched folder; None for what is not there, or not kept over a crash."""
        if isinstance(path, int):
            return None
        found = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - bytes may be no valid Path, and links stay
        if found == str(self.root):
            return ""
        if not found.startswith(f"{self.root}{os.sep}") or found.endswith(SHARED_MEMORY):
            return None
        return found.removeprefix(f"{self.root}{os.sep}")

    def strikes(self, call: Call) -> Fault | None:
        """The fault that meets this call, if any."""
        return self.disorder.strikes(call)

    def add(self, step: Step) -> None:
        """A step was taken."""
        self.steps.append(step)

    def folder_made(self, place: str) -> None:
        """A folder was made."""
        self.add(MakeFolder(place))

    def opened(self, place: str, *, existed: bool) -> int:
        """A file was opened, and made unless it had ``existed``; its number."""
        if not existed:
            self._files[place] = self._made
            self._made += 1
            self.add(Create(place, self._files[place]))
        return self._files[place]

    def unlinked(self, place: str) -> None:
        """A name went."""
        del self._files[place]
        self.add(Unlink(place))
