"""The program's own calls to the disk: Python's ``os``, passed on, written down, and failed when a fault is due."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from tests.failpoints.faults import Call, Fault, os_error
from tests.failpoints.recording import Recording
from tests.failpoints.steps import Resize, Sync, SyncFolder, Write

Target: TypeAlias = str | os.PathLike[str]

_UNKNOWN: Final = (
    "rename",
    "replace",
    "rmdir",
    "link",
    "symlink",
    "truncate",
    "write",
    "writev",
    "pwritev",
    "fdatasync",
)
"""Calls that the recording has no step for; a program that begins to use one below the watched folder fails."""


@contextmanager
def system_recorded(recording: Recording) -> Iterator[None]:
    """What is done through ``os`` in this block is recorded."""
    calls = _RecordedCalls(recording)
    with ExitStack() as stack:
        for name in ("mkdir", "open", "close", "fsync", "ftruncate", "pwrite", "chmod", "unlink"):
            stack.enter_context(patch.object(os, name, getattr(calls, name)))
        for name in _UNKNOWN:
            if hasattr(os, name):
                stack.enter_context(patch.object(os, name, calls.refusing(name, getattr(os, name))))
        yield


class _RecordedCalls:
    """Functions that stand in for those of ``os``. What is not below the watched folder is passed on as it is."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._places: dict[int, str] = {}
        self._files: dict[int, int] = {}
        self._mkdir, self._open, self._close = os.mkdir, os.open, os.close
        self._fsync, self._ftruncate, self._pwrite = os.fsync, os.ftruncate, os.pwrite
        self._chmod, self._unlink = os.chmod, os.unlink

    def mkdir(self, path: Target, mode: int = 0o777, **options: Any) -> None:
        place = self._recording.place(path)
        if place is not None and not os.path.lexists(path):
            self._meet(Call.MAKE_FOLDER, place)
        self._mkdir(path, mode, **options)
        if place is not None:
            self._recording.folder_made(place)

    def open(self, path: Target, flags: int, mode: int = 0o777, **options: Any) -> int:
        place = self._recording.place(path)
        if place is None:
            return self._open(path, flags, mode, **options)
        existed = os.path.lexists(path)
        is_folder = Path(path).is_dir()
        if not is_folder:
            self._meet(Call.MAKE_FILE, place)
        descriptor = self._open(path, flags, mode, **options)
        self._places[descriptor] = place
        if not is_folder:
            self._files[descriptor] = self._recording.opened(place, existed=existed)
            if flags & os.O_TRUNC and existed:
                self._recording.add(Resize(self._files[descriptor], 0))
        return descriptor

    def close(self, descriptor: int) -> None:
        self._places.pop(descriptor, None)
        self._files.pop(descriptor, None)
        self._close(descriptor)

    def fsync(self, descriptor: int) -> None:
        place = self._places.get(descriptor)
        if place is None:
            self._fsync(descriptor)
            return
        file = self._files.get(descriptor)
        call = Call.SYNC_FOLDER if file is None else Call.SYNC
        fault = self._recording.strikes(call)
        self._recording.add(SyncFolder(place, fault is not None) if file is None else Sync(file, fault is not None))
        if fault is not None:
            raise os_error(fault, place)
        self._fsync(descriptor)

    def ftruncate(self, descriptor: int, size: int) -> None:
        if (file := self._files.get(descriptor)) is not None:
            self._meet(Call.WRITE_FILE, self._places[descriptor])
            self._recording.add(Resize(file, size))
        self._ftruncate(descriptor, size)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if (file := self._files.get(descriptor)) is not None:
            self._meet(Call.WRITE_FILE, self._places[descriptor])
            self._recording.add(Write(file, offset, data))
        return self._pwrite(descriptor, data, offset)

    def chmod(self, path: Target, mode: int, **options: Any) -> None:
        if (place := self._recording.place(path)) is not None:
            self._meet(Call.SET_MODE, place)
        self._chmod(path, mode, **options)

    def unlink(self, path: Target, **options: Any) -> None:
        self._unlink(path, **options)
        if (place := self._recording.place(path)) is not None:
            self._recording.unlinked(place)

    def refusing(self, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Target | int, *arguments: Any, **options: Any) -> Any:
            if self._recording.place(target) is not None or target in self._places:
                raise NotImplementedError(f"os.{name} is used on the watched folder and has no step here")
            return own(target, *arguments, **options)

        return call

    def _meet(self, call: Call, place: str) -> None:
        fault: Fault | None = self._recording.strikes(call)
        if fault is not None:
            raise os_error(fault, place)
