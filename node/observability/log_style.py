"""How a log line looks: JSON for machines, key=value for files, columns for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

Fields = dict[str, Any]
"""A line's content by name; ``timestamp``, ``level`` and ``event`` come first."""

Style = Callable[[Fields], str]
"""Makes one line of text, without its end, of a line's content."""

_FIRST: Final = ["timestamp", "level", "event"]


def timestamp(unix_s: float) -> str:
    """Unix time in seconds as ISO 8601, in UTC with milliseconds."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_style() -> Style:
    """An object a line; what is not ASCII is escaped, and what JSON has no form for is told as ``str`` does."""
    render = structlog.processors.JSONRenderer(default=str)
    return lambda fields: _text(render(None, "", dict(fields)))


def plain_style() -> Style:
    """``key=value`` pairs (logfmt); control characters are escaped."""
    render = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True, bool_as_flag=False)
    return lambda fields: _text(render(None, "", _printable(fields)))


def console_style(*, colors: bool) -> Style:
    """Columns for people; control characters are escaped, so that no terminal obeys them."""
    render = structlog.dev.ConsoleRenderer(
        colors=colors, pad_event_to=28, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return lambda fields: _text(render(None, "", _printable(fields)))


def _text(rendered: str | bytes) -> str:
    return rendered if isinstance(rendered, str) else rendered.decode()


def _printable(fields: Fields) -> Fields:
    """What others sent may hold control characters: a terminal must not obey them, and a line stays one line."""
    return {
        key: _escaped(value) if isinstance(value, str) and not value.isprintable() else value
        for key, value in fields.items()
    }


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
