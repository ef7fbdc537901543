"""What there is to say of a plan's values, and where these stand in its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from node.domain.errors import InputFault
from node.domain.toml_lines import KeyPath, line_of, path_text


class Finding(NamedTuple):
    """Something to say of the value at a path."""

    path: KeyPath
    problem: str
    remedy: str


def placed(
    findings: Iterable[Finding],
    raw: Mapping[str, Any],
    label: str,
    lines: Mapping[KeyPath, int],
    elsewhere: Mapping[KeyPath, str] = MappingProxyType({}),
) -> list[InputFault]:
    """The findings as faults of the file ``label``, whose tables are ``raw``, in the order of its lines.

    What stands ``elsewhere`` is a fault of the place that is given there.
    """
    faults = []
    for finding in findings:
        path = _as_written(finding.path, raw)
        other = next((place for start, place in elsewhere.items() if path[: len(start)] == start), None)
        line = line_of(path, lines) if other is None else None
        faults.append(InputFault(other or label, finding.problem, finding.remedy, line, path_text(path) or None))
    return sorted(faults, key=lambda fault: fault.line or 0)


def _as_written(path: KeyPath, raw: Mapping[str, Any]) -> KeyPath:
    """A path whose keys bear their units where the file's do."""
    inner: Any = raw
    written: list[str | int] = []
    for part in path:
        names = [part, f"{part}_s", f"{part}_per_s"] if isinstance(part, str) else [part]
        name = next((name for name in names if isinstance(inner, dict) and name in inner), part)
        written.append(name)
        inner = _inside(inner, name)
    return tuple(written)


def _inside(table: Any, part: str | int) -> Any:
    try:
        return table[part]
    except (LookupError, TypeError):
        return None
