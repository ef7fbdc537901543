"""Words for people: what a value should be, what was written instead, and which name was perhaps meant."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never

from node.domain.secret import MASK, Secret
from node.settings.catalogue import SettingInfo

_SHOWN_CHARS: Final = 60
_SCHEME: Final = re.compile(r"(?:[\w.-]+=\w+:)?[A-Za-z][\w+.-]*://")
_QUERY_VALUE: Final = re.compile(r"(?<==)[^&]+")


def closest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that was probably meant; empty when none is near."""
    return next(iter(difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)), "")


def number_text(value: float) -> str:
    """A number as a person would write it."""
    return str(int(value)) if float(value).is_integer() else str(value)


def toml_value(value: object) -> str:
    """A setting's value as TOML writes it; None, which TOML lacks, is an empty text, and a secret its mask."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case tuple() | list():
            return "[" + ", ".join(map(toml_value, value)) + "]"
        case Secret() | Path():
            return toml_value(str(value))
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def fit_to_show(value: object) -> object:
    """A value whose addresses have no user, password or query value any more; a list's items each by itself.

    All that stands before the last ``@`` is masked, slashes and spaces too: whoever wrote a password may not have
    known that they have to be encoded.
    """
    match value:
        case str():
            scheme = found[0] if (found := _SCHEME.match(value)) else ""
            login, at, place = value.rpartition("@")
            text = f"{scheme}{MASK}@{place}" if at and ":" in login else value
            address, mark, query = text.partition("?")
            return f"{address}?{_QUERY_VALUE.sub(MASK, query)}" if scheme and mark else text
        case tuple() | list():
            return type(value)(map(fit_to_show, value))
        case _:
            return value


def shown(value: object, *, secret: bool) -> str:
    """A value as it was given, for a message: cut to 60 characters, and `fit_to_show`."""
    if secret or isinstance(value, Secret):
        return MASK
    text = repr(fit_to_show(str(value) if isinstance(value, Path) else value))
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def bounds_text(info: SettingInfo) -> str:
    """Which values a setting takes, as ``0 to 65535`` or ``of a, b``; empty where there is nothing to say."""
    if info.choices:
        return f"of {', '.join(info.choices)}"
    if info.low is None:
        return "" if info.high is None else f"{number_text(info.high)} or less"
    return f"{number_text(info.low)} " + ("or more" if info.high is None else f"to {number_text(info.high)}")


def remedy(info: SettingInfo) -> str:
    """What to write instead."""
    if info.secret:
        return "correct it, or leave it out"
    return f"{_advice(info)}; the default is {toml_value(info.default)}"


def _advice(info: SettingInfo) -> str:
    match info.kind:
        case "whole number" | "number":
            unit = f" of {info.unit}" if info.unit and info.unit != "share" else ""
            return f"give a {info.kind}{unit}, {bounds_text(info)}"
        case "true or false":
            return "give true or false"
        case "choice":
            return f"give one {bounds_text(info)}"
        case "list":
            return f"give a list {bounds_text(info)}".rstrip() + " (in the environment separated by commas)"
        case "path":
            return "give the path of a file or folder"
        case "text":
            return "correct it, or leave it out"
        case _:
            assert_never(info.kind)
