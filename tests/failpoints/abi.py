"""The part of SQLite's C interface through which it reaches the disk (sqlite.org/c3ref/vfs.html).

Taken from the very library that Python's sqlite3 module runs on, so that nothing but the disk is stood in for.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from ctypes import CFUNCTYPE, Structure, c_char_p, c_int, c_int64, c_void_p
from typing import Final, NamedTuple

OK: Final = 0
FULL: Final = 13
CANTOPEN: Final = 14
IOERR: Final = 10
IOERR_READ: Final = IOERR | 1 << 8
IOERR_WRITE: Final = IOERR | 3 << 8
IOERR_FSYNC: Final = IOERR | 4 << 8
IOERR_TRUNCATE: Final = IOERR | 6 << 8
IOERR_DELETE: Final = IOERR | 10 << 8
IOERR_SHMMAP: Final = IOERR | 21 << 8

OPEN_CREATE: Final = 0x4
OPEN_MAIN_JOURNAL: Final = 0x800
OPEN_SUPER_JOURNAL: Final = 0x4000
OPEN_WAL: Final = 0x80000

FILE_METHODS: Final = (
    "xClose",
    "xRead",
    "xWrite",
    "xTruncate",
    "xSync",
    "xFileSize",
    "xLock",
    "xUnlock",
    "xCheckReservedLock",
    "xFileControl",
    "xSectorSize",
    "xDeviceCharacteristics",
    "xShmMap",
    "xShmLock",
    "xShmBarrier",
    "xShmUnmap",
    "xFetch",
    "xUnfetch",
)
VFS_METHODS: Final = (
    "xOpen",
    "xDelete",
    "xAccess",
    "xFullPathname",
    "xDlOpen",
    "xDlError",
    "xDlSym",
    "xDlClose",
    "xRandomness",
    "xSleep",
    "xCurrentTime",
    "xGetLastError",
    "xCurrentTimeInt64",
    "xSetSystemCall",
    "xGetSystemCall",
    "xNextSystemCall",
)

Close = CFUNCTYPE(c_int, c_void_p)
Read = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
Sync = CFUNCTYPE(c_int, c_void_p, c_int)
ShmMap = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)
Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
Randomness = CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)


class FileMethods(Structure):
    """``sqlite3_io_methods``; the functions as bare addresses."""

    _fields_ = (("iVersion", c_int), *((name, c_void_p) for name in FILE_METHODS))


class Vfs(Structure):
    """``sqlite3_vfs``; the functions as bare addresses."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        *((name, c_void_p) for name in VFS_METHODS),
    )


class FileHead(Structure):
    """``sqlite3_file``: what every open file begins with."""

    _fields_ = (("pMethods", c_void_p),)


class Library(NamedTuple):
    """The functions of the library that are needed here."""

    handle: ctypes.CDLL

    @classmethod
    def of_python(cls) -> Library:
        """The library of Python's own sqlite3 module.

        Raises:
            OSError: its functions are not to be reached, as where it was linked in with its symbols hidden.
        """
        where: str | None = getattr(_sqlite3, "__file__", None)
        handle = ctypes.CDLL(where)
        try:
            handle.sqlite3_vfs_find.restype = c_void_p
            handle.sqlite3_vfs_find.argtypes = [c_char_p]
            handle.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
            handle.sqlite3_vfs_unregister.argtypes = [c_void_p]
            handle.sqlite3_randomness.argtypes = [c_int, c_void_p]
            handle.sqlite3_randomness.restype = None
        except AttributeError as error:
            raise OSError(f"{where or 'this Python'} hides SQLite's functions") from error
        return cls(handle)

    def default_vfs(self) -> int:
        """The address of the VFS that connections use unless told otherwise."""
        address: int = self.handle.sqlite3_vfs_find(None)
        return address

    def make_default(self, address: int) -> None:
        """Have connections use this VFS."""
        self.handle.sqlite3_vfs_register(address, 1)

    def unregister(self, address: int) -> None:
        """Take a VFS back; no connection may use it any more."""
        self.handle.sqlite3_vfs_unregister(address)

    def reseed(self) -> None:
        """Have SQLite draw its random numbers anew from the default VFS."""
        self.handle.sqlite3_randomness(0, None)
