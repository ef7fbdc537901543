"""The gateway's own word on every job, read from its journal on disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

JOURNAL_FILE: Final = "gateway.sqlite"
"""In the gateway's data folder."""


class Credit(NamedTuple):
    """Who was credited for a job, and what for."""

    node: str
    status: str
    at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A job: the nodes it was handed to, one after the other, and its credit once there is one."""

    claims: tuple[str, ...]
    credit: Credit | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All jobs by id, and how many successes and failures each node was credited with."""

    jobs: Mapping[str, Entry] = field(default_factory=dict)
    credited: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def credits(self) -> int:
        """How many jobs have one."""
        return sum(entry.credit is not None for entry in self.jobs.values())


def copy_ledger(data_dir: Path, to: Path) -> Ledger:
    """Copy a journal that no gateway has open, and read the copy."""
    to.mkdir(parents=True, exist_ok=True)
    for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-wal"):
        if (data_dir / name).exists():
            shutil.copy2(data_dir / name, to / name)
    return read_ledger(to / JOURNAL_FILE)


def read_ledger(path: Path) -> Ledger:
    """What a journal holds."""
    with closing(sqlite3.connect(path)) as file:
        jobs = {
            job: Entry(
                tuple(node for node, _at in json.loads(claims)),
                None if status is None else Credit(node, status, at),
            )
            for job, claims, node, status, at in file.execute(
                "SELECT job_id, claims, answered_by, status, answered_at FROM jobs"
            )
        }
        credited = {
            node: (succeeded, failed)
            for node, succeeded, failed in file.execute("SELECT node_id, succeeded, failed FROM nodes")
        }
    return Ledger(jobs, credited)
