"""The disk below an outbox: it takes its time, is full at times, and keeps what was committed when its process dies."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from node.domain.policies import Range
from tests.simulation.faults import Plight, Tally, Window
from tests.simulation.timeline import Process
from tests.unit.runtime.inline import InlineExecutor

P = ParamSpec("P")
T = TypeVar("T")

_PLENTY: Final = 1 << 40


class Disk(Executor):
    """Runs a database's calls one after the other, as its thread would, in steps of the process.

    The call itself happens at the end of the first half of its time, so that a kill may find it not yet done, or
    done and not yet told of.
    """

    def __init__(
        self, process: Process, takes_s: Range, chance: random.Random, full: Sequence[Window], tally: Tally
    ) -> None:
        self._process = process
        self._takes_s = takes_s
        self._chance = chance
        self._full = full
        self._tally = tally
        self._inline = InlineExecutor()
        self._free_at = 0.0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()
        begin = max(self._process.time(), self._free_at)
        half_s = self._takes_s.draw(self._chance) / 2
        self._free_at = begin + 2 * half_s

        def act() -> None:
            ended = self._inline.submit(fn, *args, **kwargs)
            self._process.call_later(half_s, tell, ended)

        def tell(ended: Future[T]) -> None:
            if (error := ended.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(ended.result())

        self._process.call_at(begin + half_s, act)
        return future

    @property
    def is_full(self) -> bool:
        """Whether nothing can be written now."""
        return any(window.covers(self._process.time()) for window in self._full)

    def before_commit(self) -> None:
        """Raise what a full disk raises, while it is full."""
        if self.is_full:
            self._tally.note(Plight.DISK_FULL)
            raise OSError(errno.ENOSPC, "No space left on device")

    def free(self, _: Path) -> int:
        """Bytes left."""
        return 0 if self.is_full else _PLENTY


def survive(folder: Path, successor: Path) -> None:
    """What of a killed process's folder the next one finds: all that reached the file; no lock, no shared memory."""
    if folder.exists():
        shutil.copytree(folder, successor, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
