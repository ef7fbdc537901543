"""One process a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from node.domain.errors import StorageInUse, StorageUnavailable
from node.runtime.folders import make_folder


class FileLock:
    """The right to a file, held by an open lock file beside it; the system gives it up when the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the right to ``path``; its folder is made when missing, with mode 0700, durably.

        Raises:
            StorageInUse: another process holds it, or this one under another lock.
            StorageUnavailable: the folder or the lock file cannot be made.
        """
        name = _lock_file(path)
        try:
            make_folder(path.parent, 0o700)
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"{error.filename}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                by = f" by process {holder}" if holder else ""
                raise StorageInUse(f"{path} is in use{by}") from error
            raise StorageUnavailable(f"{name}: {error.strerror}") from error
        # The number is for people alone, so that a full disk is no reason not to open the file.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return cls(descriptor)

    @staticmethod
    def is_there(path: Path) -> bool:
        """Whether anybody ever held the right to ``path``, as far as this user may see."""
        try:
            return _lock_file(path).exists()
        except OSError:
            return False

    def release(self) -> None:
        """Give the right up. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
