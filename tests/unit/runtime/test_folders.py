"""Folders that stay."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from node.runtime.folders import make_folder, sync_folder
from tests.failpoints.faults import Call, Disorder, Fault
from tests.failpoints.recording import Recording
from tests.failpoints.steps import MakeFolder, SyncFolder


def test_each_folder_is_durable_before_the_next_is_made_in_it(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    with recording.running(1):
        make_folder(tmp_path / "a" / "b", 0o700)
    assert recording.steps == [MakeFolder("a"), SyncFolder(""), MakeFolder("a/b"), SyncFolder("a")]
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")} == {0o700}


def test_a_folder_that_is_there_may_not_be_durable_yet(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    recording = Recording(tmp_path)
    with recording.running(1):
        make_folder(tmp_path / "a")
        make_folder(tmp_path / "a" / "b")
    assert recording.steps == [SyncFolder(""), SyncFolder(""), MakeFolder("a/b"), SyncFolder("a")]


def test_a_place_that_is_not_there_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        make_folder(Path("a"))


def test_a_disk_that_fails_is_told_with_the_folder(tmp_path: Path) -> None:
    with (
        Recording(tmp_path, Disorder(Fault.IO, only=Call.SYNC_FOLDER)).running(1),
        pytest.raises(OSError, match="EIO") as told,
    ):
        make_folder(tmp_path / "a")
    assert told.value.errno == errno.EIO
    assert told.value.filename == str(tmp_path)


@pytest.mark.parametrize(("function", "code"), [("fsync", errno.EINVAL), ("open", errno.EACCES)])
def test_a_folder_that_cannot_be_synced_is_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, refuse)
    sync_folder(tmp_path)
