"""Where the keys of a TOML text stand, tables in lists included, so that a fault can name its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the outermost table inwards; a number is a place in a list, from 0."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of each table and key in a TOML text that is known to be valid.

    Keys of a table within braces are on the line where its statement starts; those of tables within a list that is
    written in brackets are not among them.
    """
    found: dict[KeyPath, int] = {}
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        tables, head = tomllib.loads(statement), statement.lstrip()
        if head.startswith("["):
            path = _head_path(tables)
            table = _placed(path[:-1], lengths) + path[-1:]
            for end in range(1, len(table)):
                found.setdefault(table[:end], line)
            if head.startswith("[["):
                number = lengths.get(table, 0)
                lengths[table] = number + 1
                found.setdefault(table, line)
                table += (number,)
            found.setdefault(table, line)
            continue
        for path in _keys(tables):
            found.setdefault(table + path, line)
    return found


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """The line of a key, or of the nearest table around it that is known; None where there is none."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def path_text(path: KeyPath) -> str:
    """A path as people write it, places counted from 1: ``faults[2].at``."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each key with its value, and each table's head, with the line it starts on.

    A statement is over as soon as it can be read by itself: one that goes on, as an open list does, cannot.
    """
    pending, start = "", 0
    for line, part in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not pending and (not part.strip() or part.lstrip().startswith("#")):
            continue
        pending, start = (pending + part + "\n", start) if pending else (part + "\n", line)
        try:
            tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        yield start, pending
        pending = ""


def _head_path(tables: Mapping[str, Any]) -> KeyPath:
    """The keys of a table's head, which has one at each level."""
    path: tuple[str, ...] = ()
    inner: Any = tables
    while isinstance(inner, dict) and inner:
        (name, inner), *_ = inner.items()
        path += (name,)
        inner = inner[0] if isinstance(inner, list) else inner
    return path


def _keys(tables: Mapping[str, Any]) -> Iterator[KeyPath]:
    for name, value in tables.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *path) for path in _keys(value))


def _placed(path: KeyPath, lengths: Mapping[KeyPath, int]) -> KeyPath:
    """A path with the places of the last tables of the lists that it goes through."""
    placed: KeyPath = ()
    for part in path:
        placed += (part,)
        if placed in lengths:
            placed += (lengths[placed] - 1,)
    return placed
