"""A roster's text in rows and its head: which column is where."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from node.domain.errors import InputFault, InvalidInput

COLUMNS: Final = (
    "node_id",
    "secret",
    "account_id",
    "pub_key",
    "private_key",
    "proxy",
    "models",
    "ram",
    "cpu",
    "vram",
    "gpu",
    "os",
)
"""The head of a roster. Other columns beside these are passed over."""

OPTIONAL: Final = frozenset({"private_key", "proxy"})
"""Columns that may be missing from the head."""

HEADER: Final = ",".join(COLUMNS)
_MOST_LINES: Final = 200
"""Lines that one row may span: keys in PEM form have line breaks in them."""


class Row(NamedTuple):
    """A row by the line it starts on, counted from 1; ``cells`` is None where its quotes are not in order."""

    line: int
    cells: Sequence[str] | None


def split_rows(text: str) -> Iterator[Row]:
    """The rows that are not blank. One whose quotes are not in order ends with its first line."""
    lines = _lines(text)
    start = 0
    while start < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(start, min(start + _MOST_LINES, len(lines)))), strict=True)
        try:
            cells = next(reader)
        except csv.Error:
            yield Row(start + 1, None)
            start += 1
            continue
        spanned = reader.line_num
        if spanned > 1 and not all(map(_may_span_lines, cells)):
            yield Row(start + 1, None)
            spanned = 1
        elif any(cell.strip() for cell in cells):
            yield Row(start + 1, cells)
        start += spanned


def _lines(text: str) -> list[str]:
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return [line + "\n" for line in normal.split("\n")]


def _may_span_lines(cell: str) -> bool:
    return "\n" not in cell or (cell.lstrip().startswith("-----BEGIN") and cell.rstrip().endswith("-----"))


class Head(NamedTuple):
    """How many cells a row has, and which of them each column of `COLUMNS` is in."""

    width: int
    at: dict[str, int]

    @classmethod
    def read(cls, row: Row | None, place: str) -> Head:
        """Read the first row of a roster; None where it has none.

        Raises:
            InvalidInput: a column is missing or there twice.
        """
        if row is None:
            raise InvalidInput([InputFault(place, "the file is empty", f"begin it with {HEADER}")])
        names = [cell.strip().lower() for cell in row.cells or ()]
        if not set(names).intersection(COLUMNS):
            raise InvalidInput([InputFault(place, "the file has no head", f"begin it with {HEADER}", row.line)])
        faults = [
            InputFault(place, "the column is missing", f"the head is {HEADER}", row.line, column)
            for column in COLUMNS
            if column not in names and column not in OPTIONAL
        ]
        faults += [
            InputFault(place, "the column is there twice", "remove one of them", row.line, column)
            for column in COLUMNS
            if names.count(column) > 1
        ]
        if faults:
            raise InvalidInput(faults)
        return cls(len(names), {column: names.index(column) for column in COLUMNS if column in names})
