"""SQLite's calls to the disk: passed on to the system's own VFS, written down, and failed when a fault is due."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_void_p
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.failpoints import abi
from tests.failpoints.faults import Call, Fault, sqlite_code
from tests.failpoints.recording import Recording
from tests.failpoints.steps import Resize, Sync, SyncFolder, Write, parent

_NAME = b"recorded"


@contextmanager
def sqlite_recorded(recording: Recording, library: abi.Library, seed: int) -> Iterator[None]:
    """Connections opened in this block are recorded; they must be closed within it."""
    system = library.default_vfs()
    vfs = _RecordedVfs(recording, system, Random(seed))
    library.make_default(vfs.address)
    try:
        library.reseed()
        yield
    finally:
        library.make_default(system)
        library.unregister(vfs.address)
        library.reseed()
        if vfs.open_files:
            # Their connections call it for as long as they live.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(vfs))
            recording.defects.append(RuntimeError(f"{vfs.open_files} files were left open"))


class _Methods:
    """The methods of an open file: the system's own, and a table that stands in for them."""

    def __init__(self, address: int, ours: dict[str, Any]) -> None:
        own = abi.FileMethods.from_address(address)
        self.close = abi.Close(own.xClose)
        self.read = abi.Read(own.xRead)
        self.write = abi.Write(own.xWrite)
        self.truncate = abi.Truncate(own.xTruncate)
        self.sync = abi.Sync(own.xSync)
        self.map_index = abi.ShmMap(own.xShmMap) if own.xShmMap else None
        self.table = abi.FileMethods.from_buffer_copy(own)
        for name, function in ours.items():
            if getattr(own, name):
                setattr(self.table, name, ctypes.cast(function, c_void_p).value)


@dataclass(slots=True)
class _OpenFile:
    number: int
    folder: str
    methods: _Methods
    syncs_folder: bool
    """Whether the system's VFS also syncs the folder with the next sync of the file: once, for a new log."""


class _RecordedVfs:
    """A VFS whose files are the system's own, their table of methods exchanged for ours."""

    def __init__(self, recording: Recording, system: int, random: Random) -> None:
        self._recording = recording
        self._random = random
        self._files: dict[int, _OpenFile] = {}
        self._methods: dict[int, _Methods] = {}
        self._system = system
        own = abi.Vfs.from_address(system)
        self._open_own = abi.Open(own.xOpen)
        self._delete_own = abi.Delete(own.xDelete)
        self._table = abi.Vfs.from_buffer_copy(own)
        self._table.zName = _NAME
        self._table.pNext = None
        self._callbacks = {
            "xOpen": abi.Open(self._guarded(self._open)),
            "xDelete": abi.Delete(self._guarded(self._delete)),
            "xRandomness": abi.Randomness(self._guarded(self._draw)),
        }
        for name, function in self._callbacks.items():
            setattr(self._table, name, ctypes.cast(function, c_void_p).value)
        self._file_callbacks = {
            "xClose": abi.Close(self._guarded(self._close)),
            "xRead": abi.Read(self._guarded(self._read)),
            "xWrite": abi.Write(self._guarded(self._write)),
            "xTruncate": abi.Truncate(self._guarded(self._truncate)),
            "xSync": abi.Sync(self._guarded(self._sync)),
            "xShmMap": abi.ShmMap(self._guarded(self._map_index)),
        }

    @property
    def address(self) -> int:
        """Where SQLite finds it."""
        return ctypes.addressof(self._table)

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._files)

    def _guarded(self, function: Callable[..., int]) -> Callable[..., int]:
        """No exception may go through C: it is kept, and SQLite hears of a fault."""

        def call(*arguments: Any) -> int:
            try:
                return function(*arguments)
            except BaseException as error:
                self._recording.defects.append(error)
                return abi.IOERR

        return call

    def _open(self, _: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        path = ctypes.string_at(name) if name else b""
        place = self._recording.place(path) if path else None
        if place is None:
            return int(self._open_own(self._system, name, file, flags, out_flags))
        if (fault := self._recording.strikes(Call.OPEN)) is not None:
            abi.FileHead.from_address(file).pMethods = None
            return sqlite_code(Call.OPEN, fault)
        existed = os.path.lexists(path)
        result = int(self._open_own(self._system, name, file, flags, out_flags))
        if result == abi.OK:
            head = abi.FileHead.from_address(file)
            methods = self._methods.get(head.pMethods)
            if methods is None:
                methods = self._methods[head.pMethods] = _Methods(head.pMethods, self._file_callbacks)
            head.pMethods = ctypes.addressof(methods.table)
            is_log = flags & (abi.OPEN_WAL | abi.OPEN_MAIN_JOURNAL | abi.OPEN_SUPER_JOURNAL)
            number = self._recording.opened(place, existed=existed)
            syncs_folder = bool(is_log and flags & abi.OPEN_CREATE)
            self._files[file] = _OpenFile(number, parent(place), methods, syncs_folder)
        return result

    def _delete(self, _: int, path: bytes, sync_folder: int) -> int:
        place = self._recording.place(path)
        if place is None:
            return int(self._delete_own(self._system, path, sync_folder))
        if (fault := self._recording.strikes(Call.DELETE)) is not None:
            return sqlite_code(Call.DELETE, fault)
        result = int(self._delete_own(self._system, path, sync_folder))
        if result == abi.OK:
            self._recording.unlinked(place)
            if sync_folder:
                self._recording.add(SyncFolder(parent(place)))
        return result

    def _draw(self, _: int, size: int, target: int) -> int:
        ctypes.memmove(target, self._random.randbytes(size), size)
        return size

    def _close(self, file: int) -> int:
        return int(self._files.pop(file).methods.close(file))

    def _read(self, file: int, target: int, size: int, offset: int) -> int:
        if (fault := self._recording.strikes(Call.READ)) is not None:
            return sqlite_code(Call.READ, fault)
        return int(self._files[file].methods.read(file, target, size, offset))

    def _write(self, file: int, source: int, size: int, offset: int) -> int:
        open_file = self._files[file]
        fault = self._recording.strikes(Call.WRITE)
        taken = size if fault is None else size // 2 if fault is Fault.SHORT else 0
        if taken:
            result = int(open_file.methods.write(file, source, taken, offset))
            if result != abi.OK:
                return result
            self._recording.add(Write(open_file.number, offset, ctypes.string_at(source, taken)))
        return abi.OK if fault is None else sqlite_code(Call.WRITE, fault)

    def _truncate(self, file: int, size: int) -> int:
        open_file = self._files[file]
        if (fault := self._recording.strikes(Call.TRUNCATE)) is not None:
            return sqlite_code(Call.TRUNCATE, fault)
        result = int(open_file.methods.truncate(file, size))
        if result == abi.OK:
            self._recording.add(Resize(open_file.number, size))
        return result

    def _sync(self, file: int, flags: int) -> int:
        open_file = self._files[file]
        if (fault := self._recording.strikes(Call.SYNC)) is not None:
            self._recording.add(Sync(open_file.number, failed=True))
            return sqlite_code(Call.SYNC, fault)
        result = int(open_file.methods.sync(file, flags))
        if result == abi.OK:
            self._recording.add(Sync(open_file.number))
            if open_file.syncs_folder:
                open_file.syncs_folder = False
                self._recording.add(SyncFolder(open_file.folder))
        return result

    def _map_index(self, file: int, region: int, size: int, extend: int, target: int) -> int:
        map_index = self._files[file].methods.map_index
        if map_index is None:
            raise RuntimeError("the system's VFS has no shared memory")
        if (fault := self._recording.strikes(Call.MAP_INDEX)) is not None:
            ctypes.cast(target, ctypes.POINTER(c_void_p))[0] = None
            return sqlite_code(Call.MAP_INDEX, fault)
        return int(map_index(file, region, size, extend, target))
