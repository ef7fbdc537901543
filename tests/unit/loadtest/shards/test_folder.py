"""A folder that shards share: what is in it, and what each makes of what the others have left."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node.domain.errors import InvalidInput, StorageUnavailable
from node.loadtest.driver.run import Times
from node.loadtest.shards.folder import JOBS_AFTER, BeatFile, ReadyFile, ShardFolder
from node.loadtest.shards.folder_link import FolderLink, FolderPolicy
from node.loadtest.shards.folder_wait import FolderWait
from node.loadtest.shards.messages import Failed, Finished, Leave, Ready, Settled, Start, Stop
from node.loadtest.shards.record import to_document
from node.runtime.system import SystemClock
from tests.support.waiting import wait_until
from tests.unit.loadtest.shards.places import facts
from tests.unit.loadtest.shards.toy import toy_record

QUICK = FolderPolicy(wait_s=0.4, lead_s=0.5, look_s=0.02, silent_s=0.3)


@pytest.fixture
def folder(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path)


def put_ready(folder: ShardFolder, index: int, wall: float = 100.0, **changes: Any) -> None:
    ready = ReadyFile(facts=facts(2, **changes), nodes=(f"node-{index}",), wall=wall)
    folder.write(index, "ready.json", ready.model_dump_json().encode())


def put_beat(folder: ShardFolder, index: int, number: int = 1, wall: float = 105.0) -> None:
    folder.write(index, "beat.json", BeatFile(number=number, wall=wall, running=3).model_dump_json().encode())


def put_record(folder: ShardFolder, index: int, jobs_after: int | None = None) -> None:
    document = {**to_document(toy_record(index, Times(100.0, 110.0, 111.0))), JOBS_AFTER: jobs_after}
    folder.write(index, "record.json", json.dumps(document).encode())


@contextlib.asynccontextmanager
async def linked(folder: ShardFolder, index: int = 0, policy: FolderPolicy = QUICK) -> AsyncIterator[FolderLink]:
    with ThreadPoolExecutor(1) as io:
        link = FolderLink(folder, index, facts(2), policy, SystemClock(), io)
        writing = asyncio.create_task(link.write_loop())
        yield link
        link.close()
        await writing


def is_ready(link: FolderLink) -> None:
    link.tell(Ready(nodes=("node-0",), wall=100.5))


def test_an_index_is_taken_once(folder: ShardFolder) -> None:
    folder.claim(1, 2)
    folder.claim(0, 2)
    with pytest.raises(InvalidInput, match="shard 1 of 2 was begun"):
        folder.claim(1, 2)


def test_a_folder_that_cannot_be_written_to_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable):
        ShardFolder(tmp_path / "file").claim(0, 1)
    with pytest.raises(StorageUnavailable):
        ShardFolder(tmp_path / "file").write(0, "settled", b"")


def test_what_is_missing_is_lost_with_what_is_known_of_it(folder: ShardFolder) -> None:
    for index in range(2):
        put_ready(folder, index, jobs_before=None if index else 7)
    put_record(folder, 0)
    put_beat(folder, 1)
    gathered, found = folder.gathered()
    assert list(gathered.records) == [0]
    (lost,) = gathered.lost
    assert (lost.index, lost.at, lost.nodes, lost.running) == (1, 105.0, ("node-1",), 3)
    assert lost.why == "it ended without a record"
    assert found.jobs_before == 7


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (lambda _: None, "it was never ready to begin"),
        (lambda folder: folder.write(1, "failed.json", b'{"reason": "no gateway"}'), "no gateway"),
        (lambda folder: folder.write(1, "record.json", b'{"v": 99}'), "a record of version 99 is not known"),
        (lambda folder: folder.write(1, "record.json", b"cut o"), "this is no record of a shard: KeyError"),
    ],
    ids=["nothing", "a failure", "another version", "half a record"],
)
def test_why_it_is_lost(folder: ShardFolder, left: Callable[[ShardFolder], None], why: str) -> None:
    put_ready(folder, 0)
    put_record(folder, 0)
    left(folder)
    gathered, _ = folder.gathered()
    assert [(one.index, one.why) for one in gathered.lost] == [(1, why)]


@pytest.mark.parametrize(("told", "jobs_after"), [((7, 9), 9), ((7, None), None), ((7,), 7), ((), None)])
def test_the_last_of_all_shards_knows_the_count_of_jobs(
    folder: ShardFolder, told: tuple[int | None, ...], jobs_after: int | None
) -> None:
    for index in range(2):
        put_ready(folder, index)
    for index, jobs in enumerate(told):
        put_record(folder, index, jobs)
    assert folder.gathered()[0].jobs_after == jobs_after


def test_shards_of_different_runs_are_not_put_together(folder: ShardFolder) -> None:
    with pytest.raises(InvalidInput, match="nothing of any shard"):
        folder.gathered()
    put_ready(folder, 0)
    put_ready(folder, 1, plan={"name": "another"}, gateway="http://other.test")
    with pytest.raises(InvalidInput, match=r"shards 0 and 1 .* plan, gateway differ"):
        folder.gathered()


async def test_the_begin_is_agreed_on_when_all_are_ready(folder: ShardFolder) -> None:
    async with linked(folder, policy=FolderPolicy(look_s=0.02)) as link:
        is_ready(link)
        ordered = asyncio.ensure_future(link.next_order())
        await wait_until(lambda: folder.ready(0))
        assert not ordered.done()
        put_ready(folder, 1, wall=200.0)
        assert await ordered == Start(at=205.0)


async def test_an_agreed_time_waits_for_nobody(folder: ShardFolder) -> None:
    async with linked(folder, policy=FolderPolicy(start_at=1234.5, look_s=0.02)) as link:
        is_ready(link)
        assert await link.next_order() == Start(at=1234.5)


async def test_others_that_never_come_are_named(folder: ShardFolder) -> None:
    async with linked(folder) as link:
        is_ready(link)
        assert await link.next_order() == Stop(at_once=True)
        assert link.failure == "after 0.4 s shards are not ready: 1"
    assert folder.failure(0) == link.failure


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (lambda folder: folder.write(1, "failed.json", b'{"reason": "no gateway"}'), "could not begin: no gateway"),
        (lambda folder: put_ready(folder, 1, version="2"), "not of the same run: version differ"),
        (lambda folder: folder.write(1, "ready.json", b"{}"), "cannot be read"),
    ],
    ids=["a failure", "another version", "nonsense"],
)
async def test_what_keeps_one_from_beginning_keeps_all(
    folder: ShardFolder, left: Callable[[ShardFolder], None], why: str
) -> None:
    left(folder)
    async with linked(folder) as link:
        is_ready(link)
        assert await link.next_order() == Stop(at_once=True)
        assert why in link.failure


async def test_who_gives_up_does_not_begin(folder: ShardFolder) -> None:
    async with linked(folder, policy=FolderPolicy(look_s=0.02)) as link:
        is_ready(link)
        ordered = asyncio.ensure_future(link.next_order())
        await wait_until(lambda: folder.ready(0))
        link.give_up()
        assert await ordered == Stop(at_once=True)
        assert link.failure == ""


async def test_the_word_to_leave_comes_when_all_have_settled(folder: ShardFolder) -> None:
    put_ready(folder, 1)
    async with linked(folder, policy=FolderPolicy(look_s=0.02, silent_s=60)) as link:
        is_ready(link)
        assert isinstance(await link.next_order(), Start)
        leaving = asyncio.ensure_future(link.next_order())
        link.tell(Settled())
        await wait_until(lambda: folder.has(0, "settled"))
        assert not leaving.done()
        folder.write(1, "settled", b"")
        assert await leaving == Leave()
        link.tell(Finished(record={"v": 1}))
        assert link.has_finished
    assert folder.is_over(0)


async def test_one_that_is_silent_is_not_waited_for(folder: ShardFolder) -> None:
    put_ready(folder, 1)
    put_beat(folder, 1)
    async with linked(folder) as link:
        is_ready(link)
        assert isinstance(await link.next_order(), Start)
        link.tell(Settled())
        assert await link.next_order() == Leave()


async def test_a_disk_that_takes_nothing_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with linked(ShardFolder(tmp_path / "file")) as link:
        is_ready(link)
        assert await link.next_order() == Stop(at_once=True)
    assert isinstance(link.storage_error, StorageUnavailable)


async def test_a_failure_is_left_for_the_others(folder: ShardFolder) -> None:
    async with linked(folder) as link:
        link.tell(Failed(reason="no gateway"))
    assert (link.failure, folder.failure(0)) == ("no gateway", "no gateway")


async def test_a_judge_waits_for_those_that_go_on(folder: ShardFolder) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(1) as io:
        policy = FolderPolicy(wait_s=20.0, look_s=0.02, silent_s=20.0)
        waiting = asyncio.create_task(FolderWait(folder, policy, SystemClock(), io, said.append).all_over())
        for index in range(2):
            put_ready(folder, index)
        put_record(folder, 0)
        await wait_until(lambda: said and said[-1] == "Waiting for shards 1.")
        put_record(folder, 1)
        assert await waiting


async def test_a_judge_does_not_wait_for_the_dead_nor_without_end(folder: ShardFolder) -> None:
    with ThreadPoolExecutor(1) as io:
        wait = FolderWait(folder, QUICK, SystemClock(), io, lambda _: None)
        assert not await wait.all_over()
        put_ready(folder, 0)
        put_record(folder, 0)
        put_beat(folder, 1)
        policy = FolderPolicy(wait_s=20.0, look_s=0.02, silent_s=0.2)
        assert await FolderWait(folder, policy, SystemClock(), io, lambda _: None).all_over()
