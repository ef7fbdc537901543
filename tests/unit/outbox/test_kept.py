"""What both outboxes keep besides the results that wait, and what an unreadable row is known by."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from node.domain.errors import StorageFull
from node.domain.events import Notice
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import OutboxPolicy
from node.domain.results import Failure, FinishedJob
from node.outbox.memory import MemoryOutbox
from node.outbox.shelf import Shelf
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import DeadLetter, Keeping, Outbox
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.outbox.results import finished, key
from tests.unit.runtime.inline import InlineExecutor

Opener = Callable[[OutboxPolicy], AbstractAsyncContextManager[Outbox]]


@pytest.fixture(params=["memory", "sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def opened(policy: OutboxPolicy) -> AsyncIterator[Outbox]:
        if request.param == "memory":
            yield MemoryOutbox(policy, SystemClock())
            return
        outbox = await SqliteOutbox.open(tmp_path / "results.sqlite", policy, SystemClock(), RecordingSink())
        try:
            yield outbox
        finally:
            await outbox.aclose()

    return opened


def failed(job: str) -> FinishedJob:
    return finished(job)._replace(outcome=Failure("the engine is out of memory", "m"))


async def was_put(outbox: Outbox, result: FinishedJob) -> bool:
    try:
        await outbox.put(result)
    except StorageFull:
        return False
    return True


async def test_what_has_expired_can_be_sent_again(opener: Opener) -> None:
    async with opener(OutboxPolicy(expire_s=60)) as outbox:
        await outbox.put(finished("a"))
        assert await outbox.sweep(SystemClock().wall() + 61) == [key("a")]
        assert await outbox.revive(key("a"))
        assert list(outbox.pending()) == [finished("a")]


async def test_failures_take_room_as_well(opener: Opener) -> None:
    async with opener(OutboxPolicy(max_bytes=1500)) as outbox:
        kept = [number for number in range(20) if await was_put(outbox, failed(f"{number}"))]
        assert 1 <= len(kept) <= 10


async def test_the_room_of_a_result_is_given_back_with_it(opener: Opener) -> None:
    async with opener(OutboxPolicy(max_bytes=1500)) as outbox:
        for number in range(50):
            await outbox.put(failed(f"{number}"))
            await outbox.accept(key(f"{number}"))
        assert outbox.keeping(key("49")) is Keeping.ACCEPTED


async def test_a_row_without_a_key_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    await outbox.put(finished("a"))
    await outbox.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET key = 'scribble'")
    connection.close()
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    (letter,) = outbox.dead()
    assert letter.at == pytest.approx(SystemClock().wall(), abs=60)
    assert letter.key == JobKey(SourceId(""), NodeId(""), JobId("scribble"))
    assert letter.reason == "unreadable: not JSON"
    await outbox.aclose()


async def test_a_row_with_the_record_of_another_says_so(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    for job in "ab":
        await outbox.put(finished(job))
    await outbox.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET record = (SELECT record FROM results WHERE id = 1)")
    connection.close()
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    assert [(letter.key, letter.reason) for letter in outbox.dead()] == [
        (key("b"), "unreadable: it is the record of another key")
    ]
    await outbox.aclose()


def test_so_many_accepted_keys_are_remembered_and_the_youngest_of_them() -> None:
    shelf = Shelf(OutboxPolicy(remember_s=1000), most_remembered=160)
    for number in range(160):
        shelf.remember(key(f"{number}"), at=number)
    shelf.remember(key("5"), at=160)
    assert [shelf.keeping(key(f"{number}"), 200) for number in range(160)] == [Keeping.ACCEPTED] * 160
    shelf.remember(key("more"), at=161)
    kept = [number for number in range(160) if shelf.keeping(key(f"{number}"), 200) is Keeping.ACCEPTED]
    assert 5 in kept, "remembered anew, it is one of the youngest"
    assert 140 <= len(kept) < 160
    assert kept[1:] == list(range(160 - len(kept) + 1, 160))


def test_the_books_hold_no_dead_letters_result_where_a_disk_has_it() -> None:
    shelf = Shelf(OutboxPolicy())
    for job in "ab":
        shelf.keep(finished(job), size=1, since=0)
    assert shelf.bury(key("a"), "refused", now=1, keep_finished=False)
    assert shelf.bury(key("b"), "refused", now=1, keep_finished=True)
    assert not shelf.bury(key("c"), "refused", now=1, keep_finished=True)
    assert [buried and buried.finished for buried in map(shelf.buried, map(key, "abc"))] == [None, finished("b"), None]


def test_a_sweep_looks_at_so_many_of_each_kind_at_once() -> None:
    shelf = Shelf(OutboxPolicy(expire_s=60))
    for job in "abcdef":
        shelf.keep(finished(job), size=1, since=0)
    for job in "abc":
        shelf.bury(key(job), "refused", now=0, keep_finished=False)
    stale = shelf.stale(100, 2)
    assert (stale.results, stale.letters) == ([key("d"), key("e")], [key("a"), key("b")])


def test_a_bound_in_bytes_is_kept_to_the_byte() -> None:
    shelf = Shelf(OutboxPolicy(max_bytes=10))
    shelf.release(key("never reserved"))
    with pytest.raises(StorageFull):
        shelf.reserve(key("a"), 11)
    shelf.reserve(key("a"), 10)
    shelf.keep(finished("a"), size=10, since=0)
    assert shelf.full


def test_a_key_is_remembered_for_its_time_and_no_longer() -> None:
    shelf = Shelf(OutboxPolicy(remember_s=300))
    shelf.remember(key("a"), at=100)
    assert shelf.keeping(key("a"), 399.9) is Keeping.ACCEPTED
    assert shelf.keeping(key("a"), 400) is Keeping.UNKNOWN


MANY = 1100
"""More than are read at once at the start."""


async def test_however_much_a_file_holds_all_of_it_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    await asyncio.gather(*(outbox.accept(key(f"taken {number}")) for number in range(MANY)))
    await asyncio.gather(*(outbox.put(finished(f"waiting {number}")) for number in range(MANY)))
    await asyncio.gather(*(outbox.put(finished(f"spoilt {number}")) for number in range(MANY)))
    await outbox.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET record = 'scribble' WHERE key LIKE '%spoilt%'")
    connection.close()
    events = RecordingSink()
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), events)
    assert {outbox.keeping(key(f"taken {number}")) for number in range(MANY)} == {Keeping.ACCEPTED}
    assert outbox.count() == MANY
    assert len(list(outbox.dead())) == MANY
    text = f"{path}: {MANY} results cannot be read and are kept as dead letters"
    assert events.of(Notice) == [Notice("outbox", text)]
    await outbox.aclose()


@in_virtual_time
async def test_a_closed_outbox_looks_at_its_disk_no_more() -> None:
    looks: list[Path] = []

    def free(path: Path) -> int:
        looks.append(path)
        return 1 << 40

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.sqlite"
        outbox = await SqliteOutbox.open(
            path, OutboxPolicy(probe_s=1), VirtualClock(), RecordingSink(), executor=InlineExecutor(), free=free
        )
        await asyncio.sleep(10)
        assert len(looks) >= 10
        await outbox.aclose()
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        looks.clear()
        await asyncio.sleep(10)
        assert (looks, told) == ([], [])


def test_what_leaves_gives_back_its_own_size_and_no_more() -> None:
    shelf = Shelf(OutboxPolicy(max_bytes=10))
    for job, size in {"a": 2, "b": 3, "c": 5}.items():
        shelf.keep(finished(job), size=size, since=0)
    shelf.accept(key("b"), now=1)
    with pytest.raises(StorageFull):
        shelf.reserve(key("d"), 4)
    shelf.reserve(key("d"), 3)


def test_dead_letters_are_held_to_their_bound_to_the_byte() -> None:
    shelf = Shelf(OutboxPolicy(max_bytes=10, expire_s=1000))
    for number, size in enumerate((2, 3, 5)):
        shelf.keep_letter(DeadLetter(key(f"{number}"), "refused", 0), size)
    assert shelf.stale(1).letters == [], "10 bytes are not too many"
    shelf.keep_letter(DeadLetter(key("3"), "refused", 0), 4)
    assert shelf.stale(1).letters == [key("0"), key("1")]
    shelf.drop_letter(key("0"))
    assert shelf.stale(1).letters == [key("1")]


def test_a_key_is_forgotten_when_its_time_is_over() -> None:
    shelf = Shelf(OutboxPolicy(remember_s=300))
    shelf.remember(key("a"), at=100)
    shelf.forget(400)
    assert shelf.keeping(key("a"), 399) is Keeping.UNKNOWN


async def test_a_buried_result_is_kept_by_the_disk_alone(tmp_path: Path) -> None:
    events = RecordingSink()
    outbox = await SqliteOutbox.open(tmp_path / "results.sqlite", OutboxPolicy(), SystemClock(), events)
    await outbox.put(finished("on disk alone"))
    await outbox.bury(key("on disk alone"), "refused")
    gc.collect()
    assert not [held for held in gc.get_objects() if isinstance(held, FinishedJob) and held.key == key("on disk alone")]
    await outbox.aclose()
