"""The disk of the harness: what survives what."""

from __future__ import annotations

from random import Random

from tests.failpoints.disk import EVERYTHING_BUT_NAMES, NAMES_ALONE, NOTHING, RUBBISH_ALONE, Disk, Image, Survival
from tests.failpoints.steps import Create, MakeFolder, Resize, Step, Sync, SyncFolder, Unlink, Write

A_FILE: list[Step] = [Create("a", 0), SyncFolder("")]


def disk_after(*steps: Step) -> Disk:
    disk = Disk()
    for step in steps:
        disk.take(step)
    return disk


def left(disk: Disk, survival: Survival, seed: int = 1) -> Image:
    return disk.left(survival, Random(seed))


def test_a_crash_of_the_process_leaves_all_that_was_written() -> None:
    disk = disk_after(MakeFolder("f"), Create("f/a", 0), Write(0, 2, b"xy"), Resize(0, 3))
    assert disk.seen_image() == {"f": None, "f/a": b"\0\0x"}


def test_only_what_was_synced_is_sure() -> None:
    disk = disk_after(*A_FILE, Write(0, 0, b"old"), Sync(0), Write(0, 0, b"new"))
    assert left(disk, NOTHING) == {"a": b"old"}
    assert left(disk, EVERYTHING_BUT_NAMES) == {"a": b"new"}


def test_a_name_is_sure_once_its_folder_was_synced_and_those_above() -> None:
    disk = disk_after(MakeFolder("f"), Create("f/a", 0), Write(0, 0, b"x"), Sync(0), SyncFolder("f"))
    assert left(disk, NOTHING) == {}
    disk.take(SyncFolder(""))
    assert left(disk, NOTHING) == {"f": None, "f/a": b"x"}


def test_a_removed_name_may_come_back_with_what_it_named() -> None:
    disk = disk_after(*A_FILE, Write(0, 0, b"old"), Sync(0), Unlink("a"), Create("a", 1), Write(1, 0, b"new"), Sync(1))
    assert left(disk, NOTHING) == {"a": b"old"}
    assert left(disk, NAMES_ALONE) == {"a": b"new"}
    assert disk.seen_image() == {"a": b"new"}


def test_a_write_is_torn_at_sectors_alone() -> None:
    disk = disk_after(*A_FILE, Write(0, 0, bytes(2048)), Sync(0), Write(0, 100, b"x" * 1500))
    torn = {left(disk, Survival(0.5, 0), seed)["a"] for seed in range(200)}
    assert len(torn) == 2**4
    for content in torn:
        assert content is not None
        for start in range(0, 2048, 512):
            assert len(set(content[max(start, 100) : min(start + 512, 1600)])) <= 1


def test_a_file_may_have_its_length_without_its_bytes() -> None:
    disk = disk_after(*A_FILE, Write(0, 0, b"x" * 1000))
    content = left(disk, RUBBISH_ALONE)["a"]
    assert content is not None
    assert len(content) == 1000
    assert b"xxxx" not in content


def test_what_a_failed_sync_held_stays_in_doubt_until_it_is_written_again() -> None:
    disk = disk_after(*A_FILE, Write(0, 0, b"one"), Sync(0, failed=True), Write(0, 3, b"two"), Sync(0))
    assert left(disk, NOTHING) == {"a": b"\0\0\0two"}
    disk.take(Write(0, 0, b"one"))
    disk.take(Sync(0))
    assert left(disk, NOTHING) == {"a": b"onetwo"}


def test_a_failed_sync_of_a_folder_makes_no_name_sure() -> None:
    disk = disk_after(Create("a", 0), SyncFolder("", failed=True))
    assert left(disk, NOTHING) == {}
    assert not disk.settled
