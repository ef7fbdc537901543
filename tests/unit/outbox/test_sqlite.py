"""What the outbox on disk does beyond the contract: a failing disk, calls that are cancelled, rows gone bad."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.domain.errors import StorageInUse, StorageUnavailable
from node.domain.events import Notice
from node.domain.policies import OutboxPolicy
from node.outbox.codec import encode, encode_key
from node.outbox.shelf import Shelf
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Keeping
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.support.waiting import wait_until
from tests.unit.outbox.results import finished, key
from tests.unit.runtime.inline import InlineExecutor


class Disk:
    """Stands before every commit: waits and fails as told. ``free`` is what it says is left."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False
        self.left = 1 << 40

    def __call__(self) -> None:
        self.gate.wait(20)
        if self.failing:
            raise OSError(28, "No space left on device")

    def free(self, folder: Path) -> int:
        return self.left


@asynccontextmanager
async def opened(
    path: Path, disk: Disk | None = None, events: RecordingSink | None = None, virtual: bool = False, **policy: Any
) -> AsyncIterator[SqliteOutbox]:
    disk = disk or Disk()
    clock = VirtualClock() if virtual else SystemClock()
    outbox = await SqliteOutbox.open(
        path,
        OutboxPolicy(**policy),
        clock,
        events or RecordingSink(),
        executor=InlineExecutor() if virtual else None,
        before_commit=disk,
        free=disk.free,
    )
    try:
        yield outbox
    finally:
        await outbox.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


def spoil(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for sql, values in statements:
            connection.execute(sql, values)
    connection.close()


def texts(events: RecordingSink) -> list[str]:
    notices = events.of(Notice)
    assert {notice.topic for notice in notices} <= {"outbox"}
    return [notice.text for notice in notices]


async def test_a_put_that_is_cancelled_is_kept_all_the_same(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as outbox:
        disk.gate.clear()
        puts = [asyncio.create_task(outbox.put(finished(job))) for job in ("under way", "queued")]
        await asyncio.sleep(0)
        for put in puts:
            put.cancel()
        await asyncio.wait(puts)
        assert all(put.cancelled() for put in puts)
        assert outbox.keeping(key("queued")) is Keeping.PENDING
        assert outbox.count() == 0
        disk.gate.set()
        await wait_until(lambda: outbox.count() == 2)
        await outbox.put(finished("queued", text="another"))
        assert [waiting.key.job for waiting in outbox.pending()] == ["under way", "queued"]
    async with opened(path) as outbox:
        assert list(outbox.pending()) == [finished("under way"), finished("queued")]


async def test_a_defect_in_the_books_reaches_who_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("planted")

    async with opened(path) as outbox:
        with monkeypatch.context() as planted:
            planted.setattr(Shelf, "keep", broken)
            async with asyncio.timeout(5):
                with pytest.raises(RuntimeError, match="planted"):
                    await outbox.put(finished("a"))
        await outbox.put(finished("b"))
        assert outbox.keeping(key("b")) is Keeping.PENDING


async def test_a_defect_in_the_books_is_told_when_nobody_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, told = Disk(), []
    defect = RuntimeError("planted")

    def broken(*_: object) -> None:
        raise defect

    async with opened(path, disk) as outbox:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with monkeypatch.context() as planted:
            planted.setattr(Shelf, "keep", broken)
            disk.gate.clear()
            put = asyncio.create_task(outbox.put(finished("a")))
            await asyncio.sleep(0)
            put.cancel()
            await asyncio.wait([put])
            disk.gate.set()
            await wait_until(lambda: told)
    assert told == [{"message": "a defect in the outbox's books", "exception": defect}]


async def test_an_accept_that_is_cancelled_is_done_all_the_same(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as outbox:
        await outbox.put(finished("a"))
        disk.gate.clear()
        accept = asyncio.create_task(outbox.accept(key("a")))
        await asyncio.sleep(0)
        accept.cancel()
        await asyncio.wait([accept])
        assert outbox.keeping(key("a")) is Keeping.PENDING
        disk.gate.set()
        await wait_until(lambda: outbox.keeping(key("a")) is Keeping.ACCEPTED)


async def test_a_put_that_fails_leaves_room_and_nothing_else(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk, max_results=1) as outbox:
        disk.failing = True
        for _ in range(3):
            with pytest.raises(StorageUnavailable, match="No space left"):
                await outbox.put(finished("a"))
        assert outbox.keeping(key("a")) is Keeping.UNKNOWN
        disk.failing = False
        await outbox.put(finished("a"))
        assert outbox.count() == 1


async def test_a_put_that_waits_for_the_same_put_to_fail_tries_itself(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk) as outbox:
        disk.gate.clear()
        disk.failing = True
        first = asyncio.create_task(outbox.put(finished("a", text="first")))
        second = asyncio.create_task(outbox.put(finished("a", text="second")))
        await asyncio.sleep(0)
        disk.gate.set()
        with pytest.raises(StorageUnavailable):
            await first
        with pytest.raises(StorageUnavailable):
            await second
        assert outbox.count() == 0


@pytest.mark.parametrize("change", ["accept", "bury", "drop", "revive"])
async def test_a_change_that_fails_changes_nothing(path: Path, change: str) -> None:
    disk = Disk()
    async with opened(path, disk) as outbox:
        await outbox.put(finished("a"))
        if change == "revive":
            await outbox.bury(key("a"), "refused")
        before = outbox.keeping(key("a")), list(outbox.pending()), list(outbox.dead())
        disk.failing = True
        call = {
            "accept": outbox.accept,
            "bury": lambda key: outbox.bury(key, "refused"),
            "drop": outbox.drop,
            "revive": outbox.revive,
        }[change]
        with pytest.raises(StorageUnavailable):
            await call(key("a"))
        assert (outbox.keeping(key("a")), list(outbox.pending()), list(outbox.dead())) == before
        disk.failing = False
        await call(key("a"))


@in_virtual_time
async def accepts_again_by_itself(path: Path) -> None:
    disk, events = Disk(), RecordingSink()
    async with opened(path, disk, events, virtual=True, probe_s=5) as outbox:
        assert outbox.accepting
        disk.failing = True
        with pytest.raises(StorageUnavailable):
            await outbox.put(finished("a"))
        assert not outbox.accepting
        await asyncio.sleep(60)
        assert not outbox.accepting
        disk.failing = False
        assert not outbox.accepting
        await asyncio.sleep(5.1)
        assert outbox.accepting
        assert len(texts(events)) == 2
        assert "no new work until the disk takes results" in texts(events)[0]
        assert "No space left" in texts(events)[0]
        assert texts(events)[1] == "the disk takes results again"


def test_after_a_failed_write_it_accepts_again_by_itself_once_the_disk_does(path: Path) -> None:
    accepts_again_by_itself(path)


@in_virtual_time
async def accepts_again_by_a_write(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk, virtual=True) as outbox:
        disk.failing = True
        with pytest.raises(StorageUnavailable):
            await outbox.put(finished("a"))
        disk.failing = False
        await outbox.put(finished("a"))
        assert outbox.accepting


def test_a_write_that_succeeds_is_reason_enough_to_accept_again(path: Path) -> None:
    accepts_again_by_a_write(path)


@in_virtual_time
async def accepts_while_there_is_space(path: Path) -> None:
    disk = Disk()
    disk.left = 999
    async with opened(path, disk, virtual=True, min_free_bytes=1000, probe_s=5) as outbox:
        assert not outbox.accepting
        await outbox.put(finished("a"))
        assert outbox.count() == 1
        disk.left = 1000
        await asyncio.sleep(5.1)
        assert outbox.accepting
        disk.left = 0
        await asyncio.sleep(5.1)
        assert not outbox.accepting


def test_it_accepts_while_the_disk_has_more_than_the_margin_free(path: Path) -> None:
    accepts_while_there_is_space(path)


@in_virtual_time
async def whole_cycle(path: Path) -> None:
    async with opened(path, virtual=True, expire_s=100, remember_s=10) as outbox:
        for job in "abc":
            await outbox.put(finished(job))
        await outbox.accept(key("a"))
        await outbox.bury(key("b"), "refused")
        assert await outbox.revive(key("b"))
        await asyncio.sleep(1000)
        assert outbox.keeping(key("a")) is Keeping.UNKNOWN
        assert await outbox.sweep(VirtualClock().wall()) == [key("c"), key("b")]
    async with opened(path, virtual=True) as outbox:
        assert [letter.key.job for letter in outbox.dead()] == ["c", "b"]


def test_a_whole_cycle_runs_in_virtual_time_without_a_thread(path: Path) -> None:
    before = threading.active_count()
    whole_cycle(path)
    assert threading.active_count() == before


async def test_rows_that_cannot_be_read_are_dead_letters_and_told(path: Path) -> None:
    async with opened(path) as outbox:
        for job in "abcdefg":
            await outbox.put(finished(job))
        await outbox.bury(key("g"), "refused")
    name = {job: encode_key(key(job)) for job in "abcdefg"}
    spoil(
        path,
        ("UPDATE results SET record = ? WHERE key = ?", (b"developer-key", name["a"])),
        ("UPDATE results SET record = ? WHERE key = ?", (encode(finished("x")), name["b"])),
        ("UPDATE results SET key = 'scribble' WHERE key = ?", (name["c"],)),
        ("UPDATE results SET record = ? WHERE key = ?", (encode(finished("d")).replace(b'"v":1', b'"v":7'), name["d"])),
        ("UPDATE results SET since = 'long ago' WHERE key = ?", (name["e"],)),
        ("UPDATE results SET record = 'not json' WHERE key = ?", (name["g"],)),
    )
    events = RecordingSink()
    async with opened(path, events=events) as outbox:
        assert list(outbox.pending()) == [finished("f")]
        reasons = {letter.key.job: letter.reason for letter in outbox.dead()}
        assert set(reasons) == {"a", "b", "scribble", "d", "e", "g"}
        assert reasons["d"] == "unreadable: format 7 is of a later version of this program"
        assert reasons["g"] == "refused"
        assert "5 results cannot be read" in texts(events)[0]
        assert "developer-key" not in repr(reasons)
        assert not await outbox.revive(key("a"))
        assert not await outbox.revive(key("b"))
        assert not await outbox.revive(key("g"))
        assert await outbox.drop(key("a"))
        scribble = next(letter.key for letter in outbox.dead() if letter.key.job == "scribble")
        assert await outbox.drop(scribble)
    events = RecordingSink()
    async with opened(path, events=events) as outbox:
        assert {letter.key.job for letter in outbox.dead()} == {"b", "d", "e", "g"}
        assert texts(events) == []


async def test_an_accepted_key_that_cannot_be_read_is_passed_over(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.accept(key("a"))
    spoil(path, ("INSERT INTO accepted VALUES ('scribble', 9e9)", ()))
    async with opened(path) as outbox:
        assert outbox.keeping(key("a")) is Keeping.ACCEPTED


async def test_a_later_format_is_sent_once_a_version_that_reads_it_revives_it(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.put(finished("a"))
    later = encode(finished("a")).replace(b'"v":1', b'"v":7')
    spoil(path, ("UPDATE results SET record = ?", (later,)))
    async with opened(path) as outbox:
        assert outbox.keeping(key("a")) is Keeping.DEAD
    spoil(path, ("UPDATE results SET record = ?", (encode(finished("a")),)))
    async with opened(path) as outbox:
        assert await outbox.revive(key("a"))
        assert list(outbox.pending()) == [finished("a")]


async def test_tables_of_another_make_are_refused_and_let_go(path: Path) -> None:
    path.parent.mkdir()
    spoil(path, ("CREATE TABLE results(id INTEGER PRIMARY KEY, other TEXT)", ()))
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="no such column"):
            async with opened(path):
                pass


async def test_a_second_outbox_on_the_file_is_refused(path: Path) -> None:
    async with opened(path) as outbox:
        with pytest.raises(StorageInUse):
            async with opened(path):
                pass
        await outbox.put(finished("a"))


async def test_a_revival_that_meets_a_sweep_loses_nothing_unseen(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk, expire_s=10) as outbox:
        await outbox.put(finished("a"))
        await outbox.bury(key("a"), "refused")
        disk.gate.clear()
        late = SystemClock().wall() + 100
        sweep = asyncio.create_task(outbox.sweep(late))
        revival = asyncio.create_task(outbox.revive(key("a")))
        await asyncio.sleep(0.02)
        disk.gate.set()
        revived = await revival
        await sweep
        in_memory = [waiting.key.job for waiting in outbox.pending()]
        assert in_memory == (["a"] if revived else [])
    async with opened(path) as outbox:
        assert [waiting.key.job for waiting in outbox.pending()] == in_memory


async def test_an_acceptance_that_meets_a_sweep_wins(path: Path) -> None:
    for accept_first in (True, False):
        disk = Disk()
        file = path.with_name(f"{accept_first}.sqlite")
        async with opened(file, disk, expire_s=10) as outbox:
            await outbox.put(finished("a"))
            disk.gate.clear()
            calls = [outbox.accept(key("a")), outbox.sweep(SystemClock().wall() + 100)]
            tasks = [asyncio.create_task(call) for call in (calls if accept_first else reversed(calls))]
            await asyncio.sleep(0.02)
            disk.gate.set()
            await asyncio.gather(*tasks)
            assert outbox.keeping(key("a")) is Keeping.ACCEPTED
            assert list(outbox.dead()) == []
        async with opened(file) as outbox:
            assert outbox.keeping(key("a")) is Keeping.ACCEPTED


async def test_an_opening_that_fails_on_its_disk_lets_go(path: Path) -> None:
    disk = Disk()
    disk.failing = True
    with pytest.raises(StorageUnavailable, match="No space left"):
        async with opened(path, disk):
            pass
    async with opened(path) as outbox:
        await outbox.put(finished("a"))


async def test_what_is_being_put_counts_as_kept_for_the_bound(path: Path) -> None:
    disk = Disk()
    async with opened(path, disk, max_results=2) as outbox:
        disk.gate.clear()
        puts = [asyncio.create_task(outbox.put(finished(job))) for job in "ab"]
        await asyncio.sleep(0)
        assert not outbox.accepting
        disk.gate.set()
        await asyncio.gather(*puts)


def accepted_rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM accepted").fetchone()[0])
    finally:
        connection.close()


async def test_forgotten_keys_leave_the_file_too(path: Path) -> None:
    async with opened(path, remember_s=100) as outbox:
        await asyncio.gather(*(outbox.accept(key(f"{number}")) for number in range(1300)))
        await outbox.sweep(SystemClock().wall() + 50)
        assert accepted_rows(path) == 1300
        await outbox.sweep(SystemClock().wall() + 101)
        assert accepted_rows(path) == 0


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_the_file_gives_space_back_after_a_flood(path: Path) -> None:
    async with opened(path, expire_s=10) as outbox:
        await asyncio.gather(*(outbox.put(finished(f"{number}", text="x" * 20_000)) for number in range(2000)))
        await asyncio.gather(*(outbox.accept(key(f"{number}")) for number in range(2000)))
    before = size_of(path)
    async with opened(path) as outbox:
        await outbox.sweep(SystemClock().wall())
    assert size_of(path) < before - 3_000_000
