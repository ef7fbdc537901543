"""A disk that fails: at which call, with what, and for how long."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import Enum
from typing import Final

from tests.failpoints import abi


class Call(Enum):
    """What may fail. The upper ones are SQLite's, the lower ones the program's own."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    MAP_INDEX = "map the log's index"
    MAKE_FOLDER = "make a folder"
    MAKE_FILE = "make or open a file"
    WRITE_FILE = "write a file"
    SET_MODE = "set a file's mode"
    SYNC_FOLDER = "sync a folder"


class Fault(Enum):
    """How it fails."""

    IO = errno.EIO
    FULL = errno.ENOSPC
    SHORT = -errno.ENOSPC
    """The disk is full in the middle of the bytes."""


FAULTS_OF: Final[Mapping[Call, tuple[Fault, ...]]] = {
    Call.OPEN: (Fault.IO,),
    Call.READ: (Fault.IO,),
    Call.WRITE: (Fault.IO, Fault.FULL, Fault.SHORT),
    Call.TRUNCATE: (Fault.IO,),
    Call.SYNC: (Fault.IO,),
    Call.DELETE: (Fault.IO,),
    Call.MAP_INDEX: (Fault.IO,),
    Call.MAKE_FOLDER: (Fault.IO, Fault.FULL),
    Call.MAKE_FILE: (Fault.IO, Fault.FULL),
    Call.WRITE_FILE: (Fault.IO, Fault.FULL),
    Call.SET_MODE: (Fault.IO,),
    Call.SYNC_FOLDER: (Fault.IO,),
}

_CODES: Final[Mapping[Call, int]] = {
    Call.OPEN: abi.CANTOPEN,
    Call.READ: abi.IOERR_READ,
    Call.WRITE: abi.IOERR_WRITE,
    Call.TRUNCATE: abi.IOERR_TRUNCATE,
    Call.SYNC: abi.IOERR_FSYNC,
    Call.DELETE: abi.IOERR_DELETE,
    Call.MAP_INDEX: abi.IOERR_SHMMAP,
}


def sqlite_code(call: Call, fault: Fault) -> int:
    """What SQLite hears of the fault from its VFS."""
    return abi.FULL if fault in {Fault.FULL, Fault.SHORT} else _CODES[call]


def os_error(fault: Fault, path: str) -> OSError:
    """What the program hears of the fault from the operating system."""
    code = abs(fault.value)
    return OSError(code, errno.errorcode[code], path)


class Disorder:
    """A disk that fails from its ``first`` call on (counted from 0), ``length`` times, at calls that can fail so.

    ``only`` those of one kind fail, when it is given.
    """

    def __init__(self, fault: Fault | None = None, first: int = 0, length: int = 1, only: Call | None = None) -> None:
        self.fault = fault
        """May be set in the midst of a run; None while the disk is well."""
        self.calls: list[Call] = []
        """What was asked of the disk, whether it failed or not."""
        self.struck = 0
        """How often it failed."""
        self._first = first
        self._length = length
        self._only = only

    def strikes(self, call: Call) -> Fault | None:
        """The fault that meets this call, if any."""
        number = len(self.calls)
        self.calls.append(call)
        if self.fault is None or number < self._first or self.struck >= self._length:
            return None
        if self.fault not in FAULTS_OF[call] or self._only not in {None, call}:
            return None
        self.struck += 1
        return self.fault

    def end(self) -> None:
        """The disk is well again."""
        self.fault = None
