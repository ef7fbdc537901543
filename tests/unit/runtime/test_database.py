from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.domain.errors import StorageUnavailable
from node.runtime.connection import Bulk, Statement
from node.runtime.database import Database
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import wait_until
from tests.unit.runtime.inline import InlineExecutor

SCHEMA = ("CREATE TABLE IF NOT EXISTS things(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",)
INSERT = "INSERT INTO things(text) VALUES (?)"


class Disk:
    """Stands before every commit: counts, waits and fails as told."""

    def __init__(self) -> None:
        self.commits = 0
        self.gate = threading.Event()
        self.gate.set()
        self.held = threading.Event()
        self.failing: Exception | None = None

    def __call__(self) -> None:
        if not self.gate.is_set():
            self.held.set()
        self.gate.wait(20)
        self.commits += 1
        if self.failing is not None:
            raise self.failing

    async def hold(self, database: Database, *statements: Statement) -> asyncio.Task[None]:
        """Stop in the middle of a commit, of these statements or of one that changes nothing."""
        self.gate.clear()
        self.held.clear()
        write = asyncio.create_task(database.write(*(statements or (("SELECT 1", ()),))))
        await wait_until(self.held.is_set)
        return write


@asynccontextmanager
async def opened(path: Path, disk: Callable[[], None] = lambda: None, **options: Any) -> AsyncIterator[Database]:
    database = await Database.open(path, SCHEMA, before_commit=disk, **options)
    try:
        yield database
    finally:
        await database.aclose()


def on_file(path: Path, sql: str = "SELECT text FROM things ORDER BY id") -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute(sql)]
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "things.sqlite"


async def test_what_is_written_is_there_when_the_call_returns(path: Path) -> None:
    async with opened(path) as database:
        await database.write((INSERT, ("one",)), (INSERT, ("two",)))
        assert on_file(path) == ["one", "two"]
        assert await database.read("SELECT text FROM things WHERE id > ?", (1,)) == [("two",)]


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    async with opened(path) as database:
        await database.write((INSERT, ("one",)))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert set(modes.values()) == {0o600}
        assert "things.sqlite-wal" in modes
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_was_there_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    async with opened(path):
        assert path.parent.stat().st_mode & 0o777 == 0o755


async def test_it_is_set_up_to_survive_a_loss_of_power_and_to_give_space_back(path: Path) -> None:
    async with opened(path) as database:
        for pragma, value in {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2, "secure_delete": 1}.items():
            assert await database.read(f"PRAGMA {pragma}") == [(value,)], pragma


async def test_writes_that_meet_a_commit_share_the_next(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        first = await disk.hold(database)
        before = disk.commits
        writes = [asyncio.create_task(database.write((INSERT, (f"{number}",)))) for number in range(200)]
        await asyncio.sleep(0)
        disk.gate.set()
        await asyncio.gather(first, *writes)
        assert disk.commits - before == 2
        assert on_file(path) == [f"{number}" for number in range(200)]


async def test_a_faulty_statement_fails_its_own_call_alone_and_whole(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        await database.write((INSERT, ("taken",)))
        first = await disk.hold(database, (INSERT, ("first",)))
        parts: dict[str, tuple[tuple[str, tuple[Any, ...]], ...]] = {
            "good": ((INSERT, ("good",)),),
            "twice": ((INSERT, ("half",)), (INSERT, ("taken",))),
            "syntax": (("INSERT INTO nothing", ()),),
            "surrogate": ((INSERT, ("\ud800",)),),
            "huge": (("INSERT INTO things(id, text) VALUES (?, 'huge')", (2**70,)),),
            "type": ((INSERT, (object(),)),),
            "number": ((INSERT, ("one", "two")),),
            "nothing": (),
            "also good": ((INSERT, ("also good",)), (INSERT, ("and this",))),
        }
        calls = [asyncio.create_task(database.write(*part), name=name) for name, part in parts.items()]
        await asyncio.sleep(0)
        disk.gate.set()
        await asyncio.wait(calls)
        failed = {call.get_name() for call in calls if call.exception() is not None}
        assert failed == {"twice", "syntax", "surrogate", "huge", "type", "number"}
        assert all(isinstance(call.exception(), StorageUnavailable | None) for call in calls)
        await first
        assert on_file(path) == ["taken", "first", "good", "also good", "and this"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), sqlite3.OperationalError("disk I/O error")])
async def test_a_failing_disk_fails_all_and_keeps_nothing(path: Path, error: Exception) -> None:
    disk = Disk()
    if isinstance(error, sqlite3.Error):
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    async with opened(path, disk) as database:
        disk.gate.clear()
        disk.failing = error
        calls = [asyncio.create_task(database.write((INSERT, (f"{number}",)))) for number in range(5)]
        await asyncio.sleep(0)
        disk.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 5
        assert len(set(map(id, outcomes))) == 5
        assert str(path) in str(outcomes[0])
        assert on_file(path) == []
        disk.failing = None
        await database.write((INSERT, ("afterwards",)))
        assert on_file(path) == ["afterwards"]


async def test_a_failing_disk_fails_all_when_a_statement_is_at_fault_too(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        first = await disk.hold(database, (INSERT, ("first",)))
        disk.failing = OSError(5, "Input/output error")
        calls = [asyncio.create_task(database.write((INSERT, (text,)))) for text in ("same", "same", "other")]
        await asyncio.sleep(0)
        disk.gate.set()
        outcomes = await asyncio.gather(first, *calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 4
        assert on_file(path) == []


async def test_a_defect_on_the_thread_is_told_to_those_it_hits(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        disk.failing = RuntimeError("a defect")
        with pytest.raises(StorageUnavailable, match="a defect") as caught:
            await database.write((INSERT, ("one",)))
        assert isinstance(caught.value.__cause__, RuntimeError)
        disk.failing = None
        await database.write((INSERT, ("two",)))
        assert on_file(path) == ["two"]


async def test_a_cancelled_writer_gives_up_waiting_and_not_the_write(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        under_way = await disk.hold(database, (INSERT, ("under way",)))
        queued, other = (asyncio.create_task(database.write((INSERT, (text,)))) for text in ("queued", "other"))
        await asyncio.sleep(0)
        under_way.cancel()
        queued.cancel()
        await asyncio.wait([under_way, queued])
        assert under_way.cancelled()
        assert queued.cancelled()
        disk.gate.set()
        await other
        assert on_file(path) == ["under way", "queued", "other"]


async def test_outcomes_are_told_in_the_order_of_the_calls(path: Path) -> None:
    told: list[tuple[int, bool]] = []
    async with opened(path) as database:
        for number in range(50):
            text = "same" if number % 10 == 0 else f"{number}"

            def then(error: StorageUnavailable | None, number: int = number) -> None:
                told.append((number, error is None))

            database.submit([(INSERT, (text,))], then)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await database.settled()
        assert told == [(number, number % 10 != 0 or number == 0) for number in range(50)]


async def test_settled_waits_for_what_was_asked_for_and_does_not_mind_failures(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        disk.failing = OSError(28, "No space left on device")
        failing = asyncio.create_task(database.write((INSERT, ("one",))))
        await asyncio.sleep(0)
        await database.settled()
        await asyncio.sleep(0)
        assert failing.done()
        assert isinstance(failing.exception(), StorageUnavailable)


async def test_closing_commits_what_is_queued(path: Path) -> None:
    disk = Disk()
    database = await Database.open(path, SCHEMA, before_commit=disk)
    held = await disk.hold(database)
    writes = [asyncio.create_task(database.write((INSERT, (f"{number}",)))) for number in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(database.aclose())
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.write((INSERT, ("too late",)))
    disk.gate.set()
    await closing
    await asyncio.gather(held, *writes)
    assert len(on_file(path)) == 20
    await database.aclose()
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.write((INSERT, ("too late",)))
    with pytest.raises(StorageUnavailable):
        await database.read("SELECT 1")


async def test_a_cancelled_close_still_closes(path: Path) -> None:
    disk = Disk()
    database = await Database.open(path, SCHEMA, before_commit=disk)
    write = await disk.hold(database, (INSERT, ("one",)))
    closing = asyncio.create_task(database.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.sleep(0)
    disk.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await write
    async with opened(path) as again:
        assert await again.read("SELECT text FROM things") == [("one",)]


async def test_the_thread_ends_with_the_database(path: Path) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("sqlite-things")]

    async with opened(path):
        assert len(threads()) == 1
    await wait_until(lambda: not threads())


async def test_an_executor_that_was_given_is_left_running(path: Path) -> None:
    executor = InlineExecutor()
    async with opened(path, executor=executor) as database:
        await database.write((INSERT, ("one",)))
    assert executor.submit(lambda: 1).result() == 1


async def test_an_executor_that_was_shut_down_fails_the_writes(path: Path) -> None:
    executor = ThreadPoolExecutor(1)
    database = await Database.open(path, SCHEMA, executor=executor)
    executor.shutdown()
    with pytest.raises(StorageUnavailable):
        await database.write((INSERT, ("one",)))
    with pytest.raises(StorageUnavailable):
        await database.aclose()


async def test_an_executor_that_drops_its_calls_fails_the_writes(path: Path) -> None:
    disk = Disk()
    executor = ThreadPoolExecutor(1)
    database = await Database.open(path, SCHEMA, executor=executor, before_commit=disk)
    first = await disk.hold(database, (INSERT, ("one",)))
    second = asyncio.create_task(database.write((INSERT, ("two",))))
    reading = asyncio.create_task(database.read("SELECT 1"))
    await asyncio.sleep(0)
    executor.shutdown(wait=False, cancel_futures=True)
    disk.gate.set()
    await first
    for call in (second, reading):
        with pytest.raises(StorageUnavailable, match="shut down"):
            await call
    database._let_go()


def test_a_loop_that_is_closed_in_the_middle_of_a_commit_keeps_the_commit_and_hurts_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    databases: list[Database] = []

    async def start() -> None:
        databases.append(await Database.open(path, SCHEMA, before_commit=disk))
        disk.gate.clear()
        asyncio.get_running_loop().call_soon(databases[0].submit, [(INSERT, ("one",))], lambda _: None)
        await asyncio.sleep(0.01)

    asyncio.run(start())
    disk.gate.set()
    databases[0]._executor.shutdown(wait=True)
    assert on_file(path) == ["one"]
    assert not caplog.records
    databases[0]._let_go()


@in_virtual_time
async def run_in_virtual_time(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk, executor=InlineExecutor()) as database:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(database.write((INSERT, (f"{number}",))) for number in range(10)))
        await asyncio.sleep(3600)
        assert await database.read("SELECT count(*) FROM things") == [(10,)]
        with pytest.raises(StorageUnavailable):
            await database.write((INSERT, ("1",)))
        assert loop.time() - started == pytest.approx(3600)


def test_it_runs_without_a_thread_in_virtual_time(path: Path) -> None:
    before = threading.active_count()
    run_in_virtual_time(path)
    assert threading.active_count() == before


async def test_the_free_space_is_measured_with_each_commit(path: Path) -> None:
    sizes = iter([100, 90, 80])
    async with opened(path, free=lambda _: next(sizes, 80)) as database:
        assert database.free == 100
        await database.write((INSERT, ("one",)))
        assert database.free == 90
        await database.settled()
        assert database.free == 80


async def test_a_disk_that_cannot_be_measured_is_no_failure(path: Path) -> None:
    def fail(_: Path) -> int:
        raise OSError(5, "Input/output error")

    async with opened(path, free=fail) as database:
        await database.write((INSERT, ("one",)))
    async with opened(path) as database:
        assert database.free > 0


ROW = Bulk(0, "INSERT INTO things(text) VALUES ", "(?)")
GONE = Bulk(1, "DELETE FROM things WHERE text IN (", "?", ")")


async def together(database: Database, disk: Disk, parts: Sequence[Sequence[Statement]]) -> list[bool]:
    """Write these parts in one commit; which of them were kept."""
    first = await disk.hold(database)
    writes = [asyncio.create_task(database.write(*part)) for part in parts]
    await asyncio.sleep(0)
    disk.gate.set()
    await first
    return [outcome is None for outcome in await asyncio.gather(*writes, return_exceptions=True)]


@pytest.mark.parametrize("number", [1, 2, 3, 255, 256, 257, 700])
async def test_rows_of_a_bulk_are_all_kept_in_their_order(path: Path, number: int) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        kept = await together(database, disk, [[(ROW, (f"{place}",))] for place in range(number)])
        assert kept == [True] * number
        assert on_file(path) == [f"{place}" for place in range(number)]


async def test_bulks_go_before_the_others_in_their_own_order(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        parts: list[list[Statement]] = [
            [("UPDATE things SET text = 'changed' WHERE text = 'kept'", ())],
            [(GONE, ("one",)), (ROW, ("one",))],
            [(ROW, ("kept",)), (ROW, ("two",)), (GONE, ("two",))],
        ]
        assert await together(database, disk, parts) == [True] * 3
        assert on_file(path) == ["changed"]


async def test_a_faulty_row_of_a_bulk_fails_its_own_call_alone(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as database:
        texts = ["a", "b", "a", "c", "\ud800", "d"]
        kept = await together(database, disk, [[(ROW, (text,))] for text in texts])
        assert kept == [True, True, False, True, False, True]
        assert on_file(path) == ["a", "b", "c", "d"]
