"""What the file on disk goes through: damage, a full disk, many writes, other processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from node.domain.errors import StorageInUse, StorageUnavailable
from node.runtime.database import Database

SCHEMA = ("CREATE TABLE IF NOT EXISTS things(id INTEGER PRIMARY KEY, text TEXT NOT NULL)",)
INSERT = "INSERT INTO things(text) VALUES (?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "things.sqlite"


async def fill(path: Path, number: int = 200) -> None:
    database = await Database.open(path, SCHEMA)
    await database.write(*((INSERT, ("x" * 1000,)) for _ in range(number)))
    await database.aclose()


def write_rubbish(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("this is not a database" * 100)


def clear(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:40960] = os.urandom(32768)
    path.write_bytes(content)


async def test_a_file_that_is_no_database_is_refused_with_a_remedy(path: Path) -> None:
    write_rubbish(path)
    with pytest.raises(StorageUnavailable, match=r"move things.sqlite.* away and start again"):
        await Database.open(path, SCHEMA)


async def test_a_damaged_file_is_refused_with_a_remedy(path: Path) -> None:
    await fill(path)
    damage(path)
    with pytest.raises(StorageUnavailable, match=r"move things.sqlite.* away and start again"):
        await Database.open(path, SCHEMA)


async def test_a_refused_file_is_not_held(path: Path) -> None:
    write_rubbish(path)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="damaged"):
            await Database.open(path, SCHEMA)
    clear(path)
    await fill(path, 1)


async def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    database = await Database.open(path, SCHEMA, version=3)
    assert await database.read("PRAGMA user_version") == [(3,)]
    await database.aclose()
    with pytest.raises(StorageUnavailable, match="a later version"):
        await Database.open(path, SCHEMA, version=2)
    await (await Database.open(path, SCHEMA, version=3)).aclose()


def occupy(path: Path, kind: str) -> None:
    if kind.startswith("a file"):
        path.parent.write_text("")
    else:
        path.mkdir(parents=True)


@pytest.mark.parametrize("kind", ["a file where the folder should be", "a folder where the file should be"])
async def test_a_place_that_cannot_be_used_is_named(path: Path, kind: str) -> None:
    occupy(path, kind)
    with pytest.raises(StorageUnavailable, match="state"):
        await Database.open(path, SCHEMA)


async def test_a_schema_at_fault_is_told_and_the_file_let_go(path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="syntax"):
        await Database.open(path, ["CREATE NONSENSE"])
    await fill(path, 1)


async def test_an_open_that_is_cancelled_lets_go_of_the_file(path: Path) -> None:
    opening = asyncio.create_task(Database.open(path, SCHEMA))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await fill(path, 1)


async def test_a_full_database_fails_the_write_and_takes_others_again(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    await database.write(*((INSERT, ("x" * 1000,)) for _ in range(10)))
    (pages,) = (await database.read("PRAGMA page_count"))[0]
    await database.read(f"PRAGMA max_page_count={pages + 1}")
    outcomes = await asyncio.gather(
        *(database.write((INSERT, ("y" * 20_000,))) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    assert "free some space" in str(outcomes[0])
    await database.write(("DELETE FROM things WHERE id > 5", ()))
    await database.write((INSERT, ("small",)))
    assert await database.read("SELECT count(*) FROM things") == [(6,)]
    await database.aclose()


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from node.domain.errors import StorageUnavailable
from node.runtime.database import Database

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = await Database.open(Path(sys.argv[1]), ["CREATE TABLE things(id INTEGER PRIMARY KEY, text TEXT)"])
    await database.write(("INSERT INTO things(text) VALUES ('before')", ()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        await database.write(("INSERT INTO things(text) VALUES (?)", ("x" * 200_000,)))
    except StorageUnavailable as error:
        print("failed:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await database.write(("INSERT INTO things(text) VALUES ('after')", ()))
    print([row[0] for row in await database.read("SELECT text FROM things")])
    await database.aclose()

asyncio.run(main())
"""


def test_a_disk_that_refuses_to_grow_a_file_fails_the_write_and_nothing_more(path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert run.returncode == 0, run.stderr
    failed, rows = run.stdout.splitlines()
    assert failed.startswith("failed:")
    assert "disk" in failed
    assert rows == "['before', 'after']"


async def test_a_file_that_became_read_only_fails_the_write(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    await database.read("PRAGMA query_only=ON")
    with pytest.raises(StorageUnavailable, match="writable"):
        await database.write((INSERT, ("one",)))
    await database.read("PRAGMA query_only=OFF")
    await database.write((INSERT, ("two",)))
    await database.aclose()


async def test_another_program_that_writes_is_waited_for_and_then_told(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    await database.read("PRAGMA busy_timeout=50")
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="another program"):
            await database.write((INSERT, ("one",)))
        other.execute("ROLLBACK")
        await database.write((INSERT, ("two",)))
    finally:
        other.close()
        await database.aclose()


async def test_a_failed_write_leaves_the_file_to_others(path: Path) -> None:
    failing = [False]

    def before_commit() -> None:
        if failing[0]:
            raise OSError(5, "Input/output error")

    database = await Database.open(path, SCHEMA, before_commit=before_commit)
    failing[0] = True
    with pytest.raises(StorageUnavailable, match="Input/output"):
        await database.write((INSERT, ("one",)))
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.close()
    await database.aclose()


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def test_the_files_stay_small_while_much_is_written_and_deleted(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    largest = 0
    for turn in range(40):
        await database.write(*((INSERT, ("x" * 4000,)) for _ in range(200)))
        await database.write(("DELETE FROM things WHERE id <= (SELECT max(id) FROM things)", ()))
        if turn >= 5:
            largest = max(largest, size_of(path.parent))
    await database.aclose()
    assert largest < 40 * 200 * 4000 / 2.5


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


async def test_a_large_log_is_cut_and_a_large_file_gives_its_pages_back(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    await database.write(*((INSERT, ("x" * 4000,)) for _ in range(8000)))
    assert log_size(path) > 30_000_000
    await database.write((INSERT, ("one more",)))
    assert log_size(path) <= 17_000_000
    await database.write(("DELETE FROM things", ()))
    (before,) = (await database.read("PRAGMA page_count"))[0]
    await database.compact(1000)
    (after,) = (await database.read("PRAGMA page_count"))[0]
    assert before - after >= 1000
    await database.aclose()


def content_of(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("made", ["PRAGMA journal_mode=WAL", "CREATE TABLE things(id INTEGER PRIMARY KEY, text TEXT)"])
async def test_a_file_whose_making_was_cut_short_gives_its_pages_back_all_the_same(path: Path, made: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(made)
    database = await Database.open(path, SCHEMA)
    try:
        assert await database.read("PRAGMA auto_vacuum") == [(2,)]
        assert await database.read("PRAGMA journal_mode") == [("wal",)]
    finally:
        await database.aclose()


async def test_what_is_deleted_is_overwritten(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    await database.write((INSERT, ("the-developers-key" * 1000,)))
    await database.write(("DELETE FROM things", ()))
    await database.aclose()
    assert b"the-developers-key" not in content_of(path)


HOLDER = """
import asyncio, sys
from pathlib import Path
from node.runtime.database import Database

async def main():
    database = await Database.open(Path(sys.argv[1]), [])
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await database.aclose()

asyncio.run(main())
"""


def test_one_process_holds_a_file_until_it_ends_in_whatever_way(path: Path) -> None:
    async def opens() -> None:
        await (await Database.open(path, SCHEMA)).aclose()

    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StorageInUse, match=rf"things.sqlite is in use by process {holder.pid}$"):
            asyncio.run(opens())
        holder.kill()
    asyncio.run(opens())


async def test_one_database_holds_a_file_within_a_process_too(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    with pytest.raises(StorageInUse, match=f"process {os.getpid()}"):
        await Database.open(path, SCHEMA)
    await database.write((INSERT, ("still whole",)))
    await database.aclose()
    await fill(path, 1)


async def test_a_lock_of_a_holder_without_a_number_is_told_as_well(path: Path) -> None:
    database = await Database.open(path, SCHEMA)
    os.truncate(f"{path}.lock", 0)
    with pytest.raises(StorageInUse, match=r"in use$"):
        await Database.open(path, SCHEMA)
    await database.aclose()
