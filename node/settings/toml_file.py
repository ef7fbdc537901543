"""A TOML file as a layer of settings, each with the line it stands on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from node.domain.errors import InputFault
from node.settings.catalogue import catalogue, sections
from node.settings.explain import closest
from node.settings.layers import Given, Layer, Origin, OriginKind
from node.settings.text_file import read_text

Key = tuple[str, ...]

_POSITION: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


def toml_layer(path: Path, label: str, kind: OriginKind) -> Layer:
    """The settings of a file; ``label`` is its name for people. Unknown keys are faults and left out.

    Never raises: a file that cannot be read or is no TOML is a fault of an empty layer.
    """
    text, faults = read_text(path, label)
    if faults:
        return Layer(faults=faults)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Layer(faults=(_syntax_fault(error, text, label),))
    return table_layer(tables, Origin(kind, label), key_lines(text))


def table_layer(tables: Mapping[str, Any], source: Origin, lines: Mapping[Key, int]) -> Layer:
    """The settings in these tables; ``lines`` is where their keys stand, as far as they stand in a file."""
    given: dict[str, Given] = {}
    faults: list[InputFault] = []
    for key, value in _settings_of(tables):
        origin = Origin(source.kind, source.place, lines.get(key))
        name = ".".join(key)
        if name in catalogue():
            given[name] = Given(value, origin)
        elif name in sections():
            faults.append(origin.fault(f"{name} is a section, not a setting", f"write [{name}] and its settings below"))
        else:
            faults.append(origin.fault(f"{name} is no setting", _suggest(key)))
    return Layer(given, tuple(faults))


def key_lines(text: str) -> dict[Key, int]:
    """The line, counted from 1, of each table and key in a TOML text that is known to be valid."""
    found: dict[Key, int] = {}
    table: Key = ()
    for line, statement in _statements(text):
        for key in _keys(tomllib.loads(statement)):
            found.setdefault(table + key if not statement.lstrip().startswith("[") else key, line)
        if statement.lstrip().startswith("["):
            table = max(_keys(tomllib.loads(statement)), key=len)
    return found


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


def _keys(tables: Mapping[str, Any]) -> Iterator[Key]:
    for name, value in tables.items():
        yield (name,)
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict):
            yield from ((name, *key) for key in _keys(inner))


def _settings_of(tables: Mapping[str, Any]) -> Iterator[tuple[Key, object]]:
    for name, value in tables.items():
        if name in sections() and isinstance(value, dict):
            yield from (((name, key), inner) for key, inner in value.items())
        else:
            yield (name,), value


def _suggest(key: Key) -> str:
    if len(key) == 1:
        guess = closest(key[0], [*sections(), *(name for name, info in catalogue().items() if not info.section)])
        guess = f"[{guess}]" if guess in sections() else guess
    else:
        elsewhere = [name for name, info in catalogue().items() if info.key == key[-1]]
        guess = closest(".".join(key), catalogue()) or " or ".join(elsewhere)
    return f"did you mean {guess}?" if guess else "remove it; `config show` lists all settings"


def _syntax_fault(error: tomllib.TOMLDecodeError, text: str, label: str) -> InputFault:
    message = str(error)
    position = _POSITION.search(message)
    line = int(position["line"]) if position and position["line"] else len(text.rstrip().split("\n"))
    column = f"column {position['column']}" if position and position["column"] else None
    problem = _POSITION.sub("", message)
    return InputFault(label, f"not TOML: {problem}", "correct the line; texts stand in double quotes", line, column)
