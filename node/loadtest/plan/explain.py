"""What is wrong with a value, in words, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails

from node.domain.toml_lines import KeyPath
from node.loadtest.plan.distributions import Shape
from node.loadtest.plan.findings import Finding
from node.loadtest.plan.quantities import number_text
from node.loadtest.plan.vocabulary import Table, Unitless, written_name

_SHOWN_CHARS: Final = 40
_TABLE: Final = "give a table"
_TYPES: Final = {
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "finite_number": "give a number",
    "string_type": "give a text in double quotes",
    "string_too_short": "give a text that is not empty",
    "bool_type": "give true or false",
    "tuple_type": "give a list, in [ ]",
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "path_type": "give the path of a file, in double quotes",
}
_BOUNDS: Final = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}


def explained(detail: ErrorDetails, raw: Mapping[str, Any], model: type[Table]) -> Finding:
    """A fault that pydantic found, with the path as the file has it, in the file's own words."""
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    path, found = _place(detail["loc"], raw)
    if kind == "missing":
        path = (*path, written_name(str(detail["loc"][-1])))
    tables = _tables_at(detail["loc"], model, extra=kind == "extra_forbidden")
    if kind == "plan":
        return Finding(path, context["problem"], context["remedy"])
    if kind == "extra_forbidden":
        return Finding(path, f"{path[-1]} is no key here", _did_you_mean(str(path[-1]), tables))
    if kind == "missing":
        return Finding(path, f"{path[-1]} is missing", f"write {path[-1]} = …")
    if kind == "union_tag_not_found":
        return Finding((*path, "kind"), "kind is missing", f"write kind = one of {', '.join(_kinds(tables))}")
    if kind in {"union_tag_invalid", "literal_error"}:
        path = (*path, "kind") if kind == "union_tag_invalid" and isinstance(found, dict) else path
        return _no_such_kind(path, given, context, tables)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = words.format(number_text(float(context[key])))
        return Finding(path, f"{_shown(given)} is out of bounds", f"give {bound}")
    if kind == "too_short":
        return Finding(path, "the list is empty", "write one at least")
    advice = _TYPES.get(kind, detail["msg"].lower())
    if _TABLE in advice and issubclass(tables[0], Shape):
        advice = f"give a number, or a table with kind = one of {', '.join(_kinds(tables))}"
    return Finding(path, f"{_shown(given)} does not fit here", advice)


def _no_such_kind(path: KeyPath, given: Any, context: Mapping[str, Any], tables: tuple[type[Table], ...]) -> Finding:
    if "tag" in context:
        word, choices = str(context["tag"]), _kinds(tables)
    else:
        expected = context["expected"].replace(" or ", ", ").split(", ")
        word, choices = str(given), [choice.strip("'") for choice in expected]
    near = get_close_matches(word, choices, n=1, cutoff=0.5)
    listed = ", ".join(choices)
    return Finding(path, f"{word} is none of {listed}", f"did you mean {near[0]}?" if near else "choose one of them")


def _place(location: tuple[int | str, ...], raw: Mapping[str, Any]) -> tuple[KeyPath, Any]:
    """Where it stands in the file, which is pydantic's place less the kinds that it puts in for unions; and what."""
    path: list[str | int] = []
    inner: Any = raw
    for part in location:
        if isinstance(inner, dict):
            name = next((name for name in (part, written_name(str(part))) if name in inner), None)
            if name is not None:
                path.append(name)
                inner = inner[name]
        elif isinstance(inner, list) and isinstance(part, int) and part < len(inner):
            path.append(part)
            inner = inner[part]
    return tuple(path), inner


def _tables_at(location: tuple[int | str, ...], model: type[Table], *, extra: bool) -> tuple[type[Table], ...]:
    """The tables that may stand at a place, of which a kind in the location chooses."""
    tables: tuple[type[Table], ...] = (model,)
    for part in location[:-1] if extra else location:
        fields = [table.model_fields[str(part)] for table in tables if part in table.model_fields]
        if fields:
            tables = tuple(dict.fromkeys(table for field in fields for table in _tables_in(field.annotation)))
        elif isinstance(part, str):
            tables = tuple(table for table in tables if part in _kinds((table,))) or tables
    return tables


def _tables_in(annotation: Any) -> Iterator[type[Table]]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables_in(inner)


def _kinds(tables: tuple[type[Table], ...]) -> list[str]:
    fields = [table.model_fields["kind"] for table in tables if "kind" in table.model_fields]
    return [str(kind) for field in fields for kind in get_args(field.annotation)]


def _did_you_mean(word: str, tables: tuple[type[Table], ...]) -> str:
    short = {table.short_name(field) for table in tables for field in table.model_fields}
    full = {field for table in tables for field in table.model_fields}
    near = get_close_matches(word, sorted(short | full), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"remove it; there are {', '.join(sorted(short))}"


def _shown(given: Any) -> str:
    text = repr(given.value if isinstance(given, Unitless) else given)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
