"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer

_DURATION: Final = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>ms|s|m|h|d|)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME: Final = re.compile(r"[a-z_]+\.[a-z_]+")
_SETTINGS: Final = "Settings"

LogLevel = Literal["debug", "info", "warning", "error"]


def duration(text: str | float) -> float:
    """Seconds in ``30s``, ``5m``, ``1.5h``, ``500ms``, ``1d`` or a bare number of seconds; a default passes as it is.

    Raises:
        typer.BadParameter: the text is none of these, or not above 0.
    """
    if isinstance(text, float):
        return text
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or float(match["number"]) <= 0:
        raise typer.BadParameter(f"{text!r} is no duration: write 30s, 5m, 1.5h or a number of seconds above 0")
    return float(match["number"]) * _SECONDS[match["unit"]]


def assignment(text: str) -> str:
    """A setting given as ``section.key=value``, unchanged; whether there is such a setting is not looked at.

    Raises:
        typer.BadParameter: the text is not of that form.
    """
    name, equals, _ = text.partition("=")
    if not equals or not name.strip():
        # Only its beginning is repeated: the rest may be a secret.
        begin = f"{found[0]}… " if (found := _NAME.match(text)) else ""
        raise typer.BadParameter(f"{begin}is not of the form section.key=value")
    return text


ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file. Default: config/node.toml or node.toml.", rich_help_panel=_SETTINGS),
]
ProfileOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--profile", help="Profile laid over the settings, by name or path.", rich_help_panel=_SETTINGS),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="SECTION.KEY=VALUE",
        parser=assignment,
        help="Any setting; may be repeated. 'config show' lists them.",
        rich_help_panel=_SETTINGS,
    ),
]
StateDirOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Folder for outbox, logs and state. Default: state.", rich_help_panel=_SETTINGS),
]
LogLevelOption: TypeAlias = Annotated[
    LogLevel | None, typer.Option("--log-level", help="Least weight of what is logged.", rich_help_panel=_SETTINGS)
]


def flags(given: dict[str, object], assignments: Iterable[str] | None) -> dict[str, object]:
    """The settings that options name: those given, and those of ``--set``, which go before."""
    named = {name: value for name, value in given.items() if value is not None}
    for text in assignments or ():
        name, _, value = text.partition("=")
        named[name.strip()] = value.strip()
    return named
