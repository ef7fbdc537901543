from __future__ import annotations

from pathlib import Path

import pytest

from node.cli.written_file import check_writable, write_file
from node.domain.errors import InvalidInput, StorageError


def test_a_file_is_looked_at_before_it_is_needed(tmp_path: Path) -> None:
    check_writable(None, "--json")
    check_writable(tmp_path / "new.json", "--json")
    with pytest.raises(InvalidInput, match=r"--json.*is a folder"):
        check_writable(tmp_path, "--json")
    with pytest.raises(InvalidInput, match="there is no folder"):
        check_writable(tmp_path / "none" / "new.json", "--json")


def test_a_full_disk_is_told_as_such() -> None:
    check_writable(Path("/dev/full"), "--json")
    with pytest.raises(StorageError, match="'/dev/full' could not be written: No space left"):
        write_file(Path("/dev/full"), "{}")


def test_what_is_written_is_utf_8(tmp_path: Path) -> None:
    write_file(tmp_path / "new.json", "é\n")
    assert (tmp_path / "new.json").read_bytes() == "é\n".encode()
