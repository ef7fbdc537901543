"""What a program does to a disk, step by step. Paths are relative to the folder that is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """An empty folder."""

    path: str


@dataclass(frozen=True, slots=True)
class Create:
    """A new, empty file; it is known by its number whatever becomes of its name."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name goes."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at a place."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file cut off, or filled up with zeros."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's bytes are made durable; ``failed`` when the system said that it could not."""

    file: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """The names in a folder are made durable, unless it ``failed``; the watched folder itself is ``""``."""

    path: str
    failed: bool = False


Step: TypeAlias = MakeFolder | Create | Unlink | Write | Resize | Sync | SyncFolder


def parent(path: str) -> str:
    """The folder of a path."""
    return path.rpartition("/")[0]
