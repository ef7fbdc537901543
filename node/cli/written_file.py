"""Files that a run writes at its end: whether that will be possible is looked at before it begins."""

from __future__ import annotations

import os
from pathlib import Path

from node.domain.errors import InputFault, InvalidInput, StorageError


def check_writable(path: Path | None, place: str) -> None:
    """Return when the file can be written, or none is wanted; ``place`` is the option that names it.

    Raises:
        InvalidInput: it cannot.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        problem, remedy = f"there is no folder {str(path.parent)!r}", "make it first"
    elif path.is_dir():
        problem, remedy = f"{str(path)!r} is a folder", "name a file"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem, remedy = f"{str(path)!r} cannot be written", "name another file, or change its permissions"
    else:
        return
    raise InvalidInput([InputFault(place, problem, remedy)])


def write_file(path: Path, text: str) -> None:
    """Write a file that `check_writable` has looked at, in UTF-8.

    Raises:
        StorageError: the disk does not take it after all.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{str(path)!r} could not be written: {error.strerror or type(error).__name__}") from error
