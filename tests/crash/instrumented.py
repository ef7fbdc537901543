"""The program with its commits marked, and if asked for slowed down, or ended in the middle of one.

Run as ``python -m tests.crash.instrumented simulate …``. The variables ``CRASH_*`` say what is wanted; the harness
sets them. Beside the marks it writes a history: a line for each job received and each result acknowledged, at
once and not by way of the log's thread.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.domain.events import Event, JobClaimed, JobEnded
from node.observability.bus import EventBus
from tests.crash.marks import Marks, Place

MARKS: Final = "CRASH_MARKS"
"""Path of the page with the marks."""
HISTORY: Final = "CRASH_HISTORY"
"""Path of the history."""
COMMIT_DELAY_S: Final = "CRASH_COMMIT_DELAY_S"
"""Seconds that each commit takes longer, half of it before and half after: a slow disk."""
AMBUSH: Final = "CRASH_AMBUSH"
"""``NUMBER:MICROSECONDS``: in this commit, the process kills itself, so long after COMMIT has begun; with a negative
time before COMMIT, the transaction being open."""


class Ambush(NamedTuple):
    """Where the process ends itself."""

    commit: int
    delay_us: float


class Tempo:
    """What happens around the commits of this process."""

    def __init__(self, marks: Marks, delay_s: float, ambush: Ambush | None) -> None:
        self.marks = marks
        self._delay_s = delay_s
        self._ambush = ambush
        self._commits = 0
        self._go = threading.Lock()
        if ambush is not None:
            self._go.acquire()
            threading.Thread(target=self._lie_in_wait, args=(ambush.delay_us / 1e6,), daemon=True).start()

    def commit(self, run: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Run a COMMIT."""
        self._commits += 1
        time.sleep(self._delay_s / 2)
        if self._ambush is not None and self._commits == self._ambush.commit:
            if self._ambush.delay_us < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._go.release()
        self.marks.stand(Place.COMMITTING)
        try:
            return run()
        finally:
            self.marks.stand(Place.OUTSIDE)
            time.sleep(self._delay_s / 2)

    def _lie_in_wait(self, delay_s: float) -> None:
        # COMMIT gives up the interpreter's lock while it writes and syncs: this thread runs at that very time.
        self._go.acquire()
        at = time.perf_counter() + delay_s
        while time.perf_counter() < at:
            pass
        os.kill(os.getpid(), signal.SIGKILL)


class MarkedConnection(sqlite3.Connection):
    """A connection that tells where it stands in a transaction."""

    tempo: Tempo

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        run = functools.partial(super().execute, sql, *values)
        match sql:
            case "BEGIN IMMEDIATE":
                cursor = run()
                self.tempo.marks.stand(Place.OPEN)
                return cursor
            case "COMMIT":
                return self.tempo.commit(run)
            case "ROLLBACK":
                cursor = run()
                self.tempo.marks.stand(Place.OUTSIDE)
                return cursor
            case _:
                return run()


def instrument() -> None:
    """Change the process as the variables say."""
    number, _, delay_us = os.environ.get(AMBUSH, "").partition(":")
    ambush = Ambush(int(number), float(delay_us)) if number else None
    tempo = Tempo(Marks(Path(os.environ[MARKS])), float(os.environ.get(COMMIT_DELAY_S, "0")), ambush)
    connection = type("ConnectionOfThisProcess", (MarkedConnection,), {"tempo": tempo})
    vars(sqlite3)["connect"] = functools.partial(sqlite3.connect, factory=connection)
    _write_history(os.open(os.environ[HISTORY], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))


def _write_history(descriptor: int) -> None:
    emit = EventBus.emit

    def emit_and_note(bus: EventBus, event: Event) -> None:
        match event:
            case JobClaimed(key):
                note("job received", key.node, key.job)
            case JobEnded(key):
                note("job done", key.node, key.job)
        emit(bus, event)

    def note(event: str, node: str, job: str) -> None:
        os.write(descriptor, json.dumps({"event": event, "node": node, "job": job}).encode() + b"\n")

    EventBus.emit = emit_and_note  # type: ignore[method-assign]


def run() -> int:
    """Run the program's own command line."""
    from main import main

    instrument()
    return main()


if __name__ == "__main__":
    sys.exit(run())
