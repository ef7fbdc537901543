"""The program with a planted bug: what the harness must catch.

Run as ``python -m tests.crash.planted BUG simulate …``, instrumented like `tests.crash.instrumented`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from node.domain.ids import JobKey
from node.domain.results import FinishedJob
from node.outbox.sqlite import SqliteOutbox
from node.worker.job_runner import JobRunner
from tests.crash.instrumented import run

_LATE_S: Final = 0.5
"""Longer than a slow disk takes, so that most kills meet a result that was acknowledged and not kept."""


def _acknowledge_early() -> None:
    """A result is acknowledged while its commit is still to come."""
    put = SqliteOutbox.put
    under_way: set[asyncio.Task[None]] = set()

    async def late(outbox: SqliteOutbox, finished: FinishedJob) -> None:
        await asyncio.sleep(_LATE_S)
        await put(outbox, finished)

    async def early(outbox: SqliteOutbox, finished: FinishedJob) -> None:
        task = asyncio.get_running_loop().create_task(late(outbox, finished), name="late put")
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(0)

    SqliteOutbox.put = early  # type: ignore[method-assign,assignment]


def _forget_at_start() -> None:
    """What waits in the outbox is dropped when it is opened."""
    opened = SqliteOutbox.open.__func__  # type: ignore[attr-defined]

    async def forgetful(cls: type[SqliteOutbox], path: Path, *rest: Any, **options: Any) -> SqliteOutbox:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.Connection(path)) as file, file:
            file.execute("DELETE FROM results")
        outbox: SqliteOutbox = await opened(cls, path, *rest, **options)
        return outbox

    SqliteOutbox.open = classmethod(forgetful)  # type: ignore[assignment]


def _run_again() -> None:
    """A node does not ask whether the outbox knows a job."""

    def reason_to_skip(runner: JobRunner, key: JobKey) -> str:
        return "it is being worked on" if key in runner._open else ""

    JobRunner._reason_to_skip = reason_to_skip  # type: ignore[method-assign]


BUGS: Final[Mapping[str, Callable[[], None]]] = {
    "early-acknowledgement": _acknowledge_early,
    "forgetful-start": _forget_at_start,
    "run-again": _run_again,
}


if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    sys.exit(run())
