"""Rows of numbers in arrays: a million take tens of megabytes, and travel between processes as text."""

from __future__ import annotations

import base64
import zlib
from array import array
from collections.abc import Mapping
from sys import byteorder
from typing import Any, Final, TypeVar

MAX_BYTES: Final = 2**31
V = TypeVar("V")


class Columns:
    """Columns of equal length; ``kinds`` gives each one's `array` type code, ``empty`` its value in a new row."""

    def __init__(self, kinds: Mapping[str, str], empty: Mapping[str, float]) -> None:
        self._kinds = dict(kinds)
        self._empty = dict(empty)
        self.of: dict[str, array[Any]] = {name: array(kind) for name, kind in kinds.items()}

    def __len__(self) -> int:
        return len(next(iter(self.of.values())))

    def append(self) -> int:
        """Add a row of empty values; its number, from 0."""
        row = len(self)
        for name, column in self.of.items():
            column.append(self._empty[name])
        return row

    def to_document(self) -> dict[str, str]:
        """Each column as little-endian numbers, compressed, in base64."""
        return {name: _encoded(column) for name, column in self.of.items()}

    def read(self, document: Mapping[str, str], rows: int) -> None:
        """Take the columns of a document with this many rows instead of what is held.

        Raises:
            ValueError: it is not what `to_document` made.
        """
        if document.keys() != self._kinds.keys():
            raise ValueError("the columns are not those of this version")
        self.of = {name: _decoded(text, self._kinds[name], rows) for name, text in document.items()}


class Names:
    """Texts that repeat, by number; number 0 is the empty one."""

    def __init__(self, texts: list[str] | None = None) -> None:
        self.texts = texts or [""]
        self._numbers = {text: number for number, text in enumerate(self.texts)}

    def number(self, text: str) -> int:
        """The number of a text, a new one if need be."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return number


def _encoded(column: array[Any]) -> str:
    if byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return base64.b64encode(zlib.compress(column.tobytes(), 1)).decode("ascii")


def _decoded(text: str, kind: str, rows: int) -> array[Any]:
    column = array(kind)
    size = rows * column.itemsize
    if size > MAX_BYTES:
        raise ValueError("the columns are too long")
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError("a column cannot be read") from error
    if len(data) != size:
        raise ValueError("a column has the wrong length")
    column.frombytes(data)
    if byteorder == "big":
        column.byteswap()
    return column
