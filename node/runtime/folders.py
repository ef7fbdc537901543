"""Folders whose names are on the disk, and not in the system's memory alone."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

_CANNOT: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS})
"""What file systems say that do not sync folders."""


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder durably, and those above it that are missing, all of this mode; a call after a crash makes up for
    one that was cut off.

    Raises:
        OSError: it cannot be made, or the disk failed.
    """
    if folder != folder.parent and not folder.is_dir():
        make_folder(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)
    # Also where the folder was there: the call that made it may not have come this far.
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where we may read it and its file system can.

    Raises:
        OSError: the disk failed.
    """
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT:
                error.filename = str(folder)
                raise
        finally:
            os.close(descriptor)
