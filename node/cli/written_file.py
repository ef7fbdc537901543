"""Files that a run writes at its end: whether that will be possible is looked at before it begins."""

from __future__ import annotations

import os
from pathlib import Path

from node.domain.errors import InputFault, InvalidInput


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
