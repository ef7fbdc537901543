"""Keys of a plan that are given on the command line in place of what its file says."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from node.domain.errors import InputFault, InvalidInput
from node.domain.toml_lines import KeyPath, path_text
from node.loadtest.plan.vocabulary import written_name

PLACE: Final = "--plan-set"
"""Where faults of such keys are said to be."""

_KEY: Final = re.compile(r"[A-Za-z_]\w*(?:\[[1-9]\d*\])*(?:\.[A-Za-z_]\w*(?:\[[1-9]\d*\])*)*")
_PART: Final = re.compile(r"[A-Za-z_]\w*|[1-9]\d*")
_EXAMPLE: Final = "write duration=2m, nodes.stages[1].to=50 or 'thresholds=[\"p99.poll < 50ms\"]'"


@dataclass(frozen=True, slots=True)
class Override:
    """The value of a key, as TOML or JSON would have it."""

    path: KeyPath
    value: object


def parse_override(text: str) -> Override:
    """Read ``key=value``: places in lists count from 1, and a value that is neither JSON nor TOML is a text.

    Raises:
        InvalidInput: it is not that.
    """
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key.strip()):
        raise InvalidInput([InputFault(PLACE, "this is not of the form key=value", _EXAMPLE)])
    parts = _PART.findall(key)
    return Override(tuple(int(part) - 1 if part.isdigit() else part for part in parts), _value(value.strip()))


def overridden(raw: Mapping[str, Any], overrides: tuple[Override, ...]) -> dict[str, Any]:
    """The tables of a plan with these values; a key counts as the same with its unit and without.

    Raises:
        InvalidInput: a place in a list, or a table around a key, is not there.
    """
    tables = deepcopy(dict(raw))
    faults = [fault for one in overrides if (fault := _lay(tables, one)) is not None]
    if faults:
        raise InvalidInput(faults)
    return tables


def _lay(tables: dict[str, Any], override: Override) -> InputFault | None:
    inner: Any = tables
    for depth, part in enumerate(override.path[:-1]):
        if isinstance(inner, dict):
            inner = inner.setdefault(part, [] if isinstance(override.path[depth + 1], int) else {})
        elif _has(inner, part):
            inner = inner[part]
        else:
            return _missing(override.path[: depth + 1])
    last = override.path[-1]
    if isinstance(inner, dict) and isinstance(last, str):
        for name in [name for name in inner if written_name(name) == written_name(last)]:
            del inner[name]
        inner[last] = override.value
    elif _has(inner, last):
        inner[last] = override.value
    else:
        return _missing(override.path)
    return None


def _has(table: Any, place: str | int) -> bool:
    return isinstance(table, list) and isinstance(place, int) and place < len(table)


def _missing(path: KeyPath) -> InputFault:
    return InputFault(PLACE, f"the plan has no {path_text(path)}", "give the whole list or table around it")


def _value(text: str) -> object:
    for read in (json.loads, _toml):
        with contextlib.suppress(ValueError, RecursionError):
            return read(text)
    return text


def _toml(text: str) -> object:
    return tomllib.loads(f"value = {text}")["value"]
