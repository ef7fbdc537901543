"""The file of ``--json``: nobody else's file is lost by it, and no run is lost by the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from node.cli.loadtest.document import DocumentFile
from node.domain.errors import InvalidInput, StorageError
from tests.unit.loadtest.report.outcomes import broken, passed


def test_an_earlier_document_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for outcome in (broken(), passed()):
        DocumentFile.prepared(path).write(outcome, str)
    assert json.loads(path.read_text())["verdict"] == "passed"
    assert list(tmp_path.iterdir()) == [path]


def test_secrets_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    DocumentFile.prepared(path).write(passed(), lambda text: text.replace('"passed"', '"***"'))
    assert '"verdict": "***"' in path.read_text()


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    DocumentFile.prepared(tmp_path / "run.json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.json").touch()
    DocumentFile.prepared(tmp_path / "empty.json")
    DocumentFile.prepared(Path(os.devnull)).write(passed(), str)


@pytest.mark.parametrize("content", ['name = "a plan"\n', "{}", '{"schema": 1}'])
def test_a_file_that_no_load_test_wrote_is_refused_and_kept(content: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=r"plan\.toml' is there, and no load test wrote it"):
        DocumentFile.prepared(path)
    assert path.read_text() == content


@pytest.mark.parametrize("place", ["missing/run.json", "."])
def test_what_cannot_be_written_is_told_before_the_run(place: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--json"):
        DocumentFile.prepared(tmp_path / place)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder that takes no files for certain")
def test_a_folder_that_takes_no_files_is_found_before_the_run() -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        DocumentFile.prepared(Path("/proc/run.json"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_full_disk_is_told_in_words() -> None:
    with pytest.raises(StorageError, match="could not be written: No space left on device"):
        DocumentFile.prepared(Path("/dev/full")).write(passed(), str)


def test_a_folder_that_has_gone_meanwhile_is_told_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    file = DocumentFile.prepared(folder / "run.json")
    folder.rmdir()
    with pytest.raises(StorageError, match="could not be written"):
        file.write(passed(), str)
