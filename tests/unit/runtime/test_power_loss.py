"""What a loss of power leaves of a database, on a recorded disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from node.domain.errors import StorageUnavailable
from node.runtime.database import Database
from tests.failpoints.audit import lay_out
from tests.failpoints.disk import NOTHING, Disk, Image
from tests.failpoints.faults import Call, Disorder, Fault
from tests.failpoints.recording import Recording
from tests.unit.runtime.inline import InlineExecutor

SCHEMA = ("CREATE TABLE IF NOT EXISTS things(id INTEGER PRIMARY KEY, text TEXT NOT NULL)",)
INSERT = "INSERT INTO things(text) VALUES (?)"
PLACE = "var/lib/node/things.sqlite"


class Machine:
    """Runs a database on a disk that goes from one run to the next; crashes and losses of power come between."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = Disk()
        self.runs = 0

    def run(self, *texts: str, failing_sync: bool = False) -> list[str]:
        """Open the database, write these texts and crash; all texts that it showed at the start.

        With ``failing_sync`` the disk fails to sync what the last text was written to.
        """
        self.runs += 1
        root = self.folder / str(self.runs)
        root.mkdir()
        lay_out(self.disk.seen_image(), root, Random(1))
        disorder = Disorder(only=Call.SYNC)
        recording = Recording(root, disorder, self.disk.numbers)

        async def work() -> list[str]:
            database = await Database.open(root / PLACE, SCHEMA, executor=InlineExecutor())
            shown = [text for (text,) in await database.read("SELECT text FROM things ORDER BY id")]
            for text in texts:
                if failing_sync and text is texts[-1]:
                    disorder.fault = Fault.IO
                    with pytest.raises(StorageUnavailable):
                        await database.write((INSERT, (text,)))
                else:
                    await database.write((INSERT, (text,)))
            self.take(recording)
            await database.aclose()
            return shown

        with recording.running(1):
            return asyncio.run(work())

    def take(self, recording: Recording) -> None:
        for step in recording.steps:
            self.disk.take(step)

    def lose_power(self) -> Image:
        """Only what was synced is there."""
        left = self.disk.left(NOTHING, Random(1))
        self.disk = Disk.holding(left)
        return left


def test_folders_made_for_the_file_are_as_durable_as_what_is_in_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run("one")
    assert PLACE in machine.lose_power()
    assert machine.run() == ["one"]


def test_what_is_written_behind_a_failed_sync_survives(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run("one", "refused", failing_sync=True)
    assert machine.run("two") in (["one"], ["one", "refused"])
    machine.lose_power()
    assert machine.run()[-1:] == ["two"]


def test_a_name_that_could_not_be_made_durable_fails_the_opening(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(StorageUnavailable, match="EIO"):
            await Database.open(tmp_path / "state" / "things.sqlite", SCHEMA, executor=InlineExecutor())

    for first in (0, 6):
        with Recording(tmp_path, Disorder(Fault.IO, first, only=Call.SYNC_FOLDER)).running(1):
            asyncio.run(work())
