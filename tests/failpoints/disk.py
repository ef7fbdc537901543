"""What is on a disk after some steps, and what a crash or a loss of power leaves of it.

After a crash of the process everything is there that was handed to the operating system. After a loss of power
that is sure of what was synced alone: of the rest any part may be there, in whatever order it was written, torn
at the sectors of 512 bytes, and a file may have its new length without its new bytes. Names made or removed may
be as they were until their folder was synced, and syncing a file says nothing about its name. A sync that failed
makes nothing durable, nor does a later one that succeeds, unless the bytes are written again: so Linux does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple, TypeAlias, assert_never

from tests.failpoints.steps import Create, MakeFolder, Resize, Step, Sync, SyncFolder, Unlink, Write, parent

SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""

FOLDER: Final = -1
"""Stands where a file's number would."""

Image: TypeAlias = Mapping[str, bytes | None]
"""Files by path, and folders, which are None."""


class Survival(NamedTuple):
    """How much of what was not synced is there after a loss of power, as chances from 0 to 1."""

    bytes: float
    names: float
    torn: bool = True
    """Whether each sector has its own luck, and not each write."""
    lengths: float = 0.0
    rubbish: bool = False
    """Whether a file that has its length but not its bytes holds rubbish there, and not zeros."""


NOTHING: Final = Survival(0, 0)
"""Only what was synced is there."""

EVERYTHING_BUT_NAMES: Final = Survival(1, 0)
NAMES_ALONE: Final = Survival(0, 1)
RUBBISH_ALONE: Final = Survival(0, 1, lengths=1, rubbish=True)


class _Fate(Enum):
    """Of bytes that were written."""

    OPEN = "not synced yet"
    DOUBTFUL = "the sync failed"
    SURE = "synced, on top of something doubtful"


@dataclass(slots=True)
class _Edit:
    step: Write | Resize
    fate: _Fate = _Fate.OPEN


@dataclass(slots=True)
class File:
    """A file's bytes: as programs see them, as they are durable, and the steps that lie between the two."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    edits: list[_Edit] = field(default_factory=list)

    def copy(self) -> File:
        """A file that goes its own way."""
        return File(bytearray(self.seen), self.durable, [_Edit(edit.step, edit.fate) for edit in self.edits])

    def change(self, step: Write | Resize) -> None:
        """Write or resize."""
        _apply(self.seen, step)
        self.edits.append(_Edit(step))

    def sync(self, *, failed: bool) -> None:
        """Make the bytes durable, or fail to."""
        for edit in self.edits:
            if edit.fate is _Fate.OPEN:
                edit.fate = _Fate.DOUBTFUL if failed else _Fate.SURE
        if all(edit.fate is _Fate.SURE for edit in self.edits):
            self.durable = bytes(self.seen)
            self.edits.clear()

    def left(self, survival: Survival, random: Random) -> bytes:
        """What a loss of power leaves."""
        content = bytearray(self.durable)
        for edit in self.edits:
            for piece in _pieces(edit.step) if survival.torn else (edit.step,):
                if edit.fate is _Fate.SURE or _falls(random, survival.bytes):
                    _apply(content, piece)
        missing = len(self.seen) - len(content)
        if missing > 0 and _falls(random, survival.lengths):
            content += random.randbytes(missing) if survival.rubbish else bytes(missing)
        return bytes(content)


@dataclass(slots=True)
class Disk:
    """The files and folders below the watched folder."""

    files: dict[int, File] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    renamed: list[tuple[str, int | None]] = field(default_factory=list)
    """Names made and removed, in order, whose folder was not synced since."""

    @classmethod
    def holding(cls, image: Image) -> Disk:
        """A disk on which all of this is durable."""
        disk = cls()
        for number, (path, content) in enumerate(image.items()):
            disk.seen[path] = FOLDER if content is None else number
            if content is not None:
                disk.files[number] = File(bytearray(content), content)
        disk.durable = dict(disk.seen)
        return disk

    def copy(self) -> Disk:
        """A disk that goes its own way."""
        files = {number: file.copy() for number, file in self.files.items()}
        return Disk(files, dict(self.seen), dict(self.durable), list(self.renamed))

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers of the files by path, as programs see them."""
        return {path: number for path, number in self.seen.items() if number != FOLDER}

    @property
    def settled(self) -> bool:
        """Whether a loss of power would change nothing."""
        return not self.renamed and not any(file.edits for file in self.files.values())

    def take(self, step: Step) -> None:
        """Go on by a step."""
        match step:
            case MakeFolder(path):
                self._name(path, FOLDER)
            case Create(path, number):
                self.files[number] = File()
                self._name(path, number)
            case Unlink(path):
                self._name(path, None)
            case Write(number) | Resize(number):
                self.files[number].change(step)
            case Sync(number, failed):
                self.files[number].sync(failed=failed)
            case SyncFolder(path, failed):
                if not failed:
                    self._sync_names(path)
            case _:
                assert_never(step)

    def seen_image(self) -> Image:
        """What programs see: what a crash of the process leaves."""
        return {
            path: None if number == FOLDER else bytes(self.files[number].seen) for path, number in self.seen.items()
        }

    def left(self, survival: Survival, random: Random) -> Image:
        """What a loss of power leaves."""
        names = dict(self.durable)
        for path, number in self.renamed:
            if _falls(random, survival.names):
                _rename(names, path, number)
        image: dict[str, bytes | None] = {}
        for path, number in sorted(names.items()):
            folder = parent(path)
            if not folder or (folder in image and image[folder] is None):
                image[path] = None if number == FOLDER else self.files[number].left(survival, random)
        return image

    def _name(self, path: str, number: int | None) -> None:
        _rename(self.seen, path, number)
        self.renamed.append((path, number))

    def _sync_names(self, folder: str) -> None:
        waiting, self.renamed = self.renamed, []
        for path, number in waiting:
            if parent(path) == folder:
                _rename(self.durable, path, number)
            else:
                self.renamed.append((path, number))


def _rename(names: dict[str, int], path: str, number: int | None) -> None:
    if number is None:
        names.pop(path, None)
    else:
        names[path] = number


def _apply(content: bytearray, step: Write | Resize) -> None:
    size = step.size if isinstance(step, Resize) else step.offset
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    if isinstance(step, Resize):
        del content[size:]
    else:
        content[size : size + len(step.data)] = step.data


def _pieces(step: Write | Resize) -> list[Write | Resize]:
    if isinstance(step, Resize):
        return [step]
    end = step.offset + len(step.data)
    cuts = [step.offset, *range((step.offset // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [
        Write(step.file, start, step.data[start - step.offset : stop - step.offset]) for start, stop in pairwise(cuts)
    ]


def _falls(random: Random, chance: float) -> bool:
    return chance >= 1 or (chance > 0 and random.random() < chance)
