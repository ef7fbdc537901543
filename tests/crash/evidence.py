"""What a process leaves behind: its outbox on disk, and the history of what it did.

Read with the standard library alone, so that a defect of the program's own readers cannot hide anything.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

OUTBOX_FILE: Final = Path("outbox/results.sqlite")
"""Below a state folder."""

LOG_FILE: Final = Path("logs/nodes.log")
"""What nodes do, below a state folder."""

ERROR_LOG_FILE: Final = Path("logs/connection_errors.log")
"""What they fail in."""


class Key(NamedTuple):
    """A job of a node."""

    node: str
    job: str


@dataclass(frozen=True, slots=True)
class OutboxCopy:
    """What an outbox held: results that wait, dead letters with their reasons, and keys that were accepted."""

    pending: frozenset[Key] = frozenset()
    dead: Mapping[Key, str] = field(default_factory=dict)
    accepted: frozenset[Key] = frozenset()

    def holds(self, key: Key) -> bool:
        """Whether anything is known of a key."""
        return key in self.pending or key in self.accepted or key in self.dead


class Deed(Enum):
    """What a node did with a job, as its history tells it."""

    RECEIVED = "received"
    FINISHED = "finished"
    """The outbox has acknowledged its result."""


class Step(NamedTuple):
    """One line of a history."""

    deed: Deed
    key: Key


_DEEDS: Final = {"job received": Deed.RECEIVED, "job done": Deed.FINISHED, "job failed": Deed.FINISHED}


def copy_outbox(state_dir: Path, to: Path) -> OutboxCopy:
    """Copy an outbox that no process has open, and read the copy as the next process would."""
    source = state_dir / OUTBOX_FILE
    if not source.exists():
        return OutboxCopy()
    to.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal"):
        part = source.with_name(source.name + suffix)
        if part.exists():
            shutil.copy2(part, to / part.name)
    return read_outbox(to / source.name)


def read_outbox(path: Path) -> OutboxCopy:
    """What an outbox file holds.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    with closing(sqlite3.connect(path)) as file:
        if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone():
            return OutboxCopy()
        rows = [(_key(name), reason) for name, reason in file.execute("SELECT key, reason FROM results")]
        accepted = frozenset(_key(name) for (name,) in file.execute("SELECT key FROM accepted"))
    pending = frozenset(key for key, reason in rows if reason is None)
    return OutboxCopy(pending, {key: reason for key, reason in rows if reason is not None}, accepted)


def read_history(path: Path) -> list[Step]:
    """The jobs in a log of JSON lines, in order; a last line that was cut off is passed over."""
    return [step for line in read_lines(path) if (step := step_of(line)) is not None]


def step_of(line: Mapping[str, Any]) -> Step | None:
    """What a line of a log tells of a job; None when it tells something else."""
    deed = _DEEDS.get(line.get("event", ""))
    return None if deed is None else Step(deed, Key(line["node"], line["job"]))


def read_lines(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The whole lines of a log from this byte on."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _key(name: str) -> Key:
    _source, node, job = json.loads(name)
    return Key(node, job)
