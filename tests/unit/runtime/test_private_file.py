"""What holds a token is its owner's, and is whole whenever it is read."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from node.runtime.private_file import write_private


def test_it_is_for_its_owner_alone_and_so_is_a_folder_that_was_missing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "it.json"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_whoever_reads_while_it_is_written_finds_a_whole_one(tmp_path: Path) -> None:
    path, whole, end = tmp_path / "it.json", {b"a" * 200, b"b" * 200}, threading.Event()
    write_private(path, b"a" * 200)

    def write() -> None:
        while not end.is_set():
            for content in whole:
                write_private(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {path.read_bytes() for _ in range(3000)} <= whole
    finally:
        end.set()
        writer.join()


def test_one_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    path.mkdir()
    with pytest.raises(OSError, match=r"it\.json"):
        write_private(path, b"one")
    assert list(tmp_path.iterdir()) == [path]
