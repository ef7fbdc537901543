"""A TOML file as a layer of settings, each with the line it stands on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from node.domain.errors import InputFault
from node.domain.toml_lines import KeyPath, key_lines
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


def table_layer(tables: Mapping[str, Any], source: Origin, lines: Mapping[KeyPath, int]) -> Layer:
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
