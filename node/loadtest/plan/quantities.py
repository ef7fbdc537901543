"""Durations, rates and shares as people write them: ``1m30s``, ``200/s``, ``10%``."""

from __future__ import annotations

import math
import re
from typing import Final

TIME_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of time."""

RATE_UNITS: Final = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}
"""Things a second in each unit of rate."""

NUMBER: Final = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
"""A number without a sign, as a regular expression."""

_PART: Final = re.compile(rf"\s*({NUMBER})\s*([a-zµ]+)")
_RATE: Final = re.compile(rf"\s*({NUMBER})\s*(/\s*(?:s|min|h))?\s*")
_SHARE: Final = re.compile(rf"\s*({NUMBER})\s*(%?)\s*")


def parse_duration_s(text: str) -> float:
    """The seconds in a text such as ``90s``, ``1m30s`` or ``250ms``.

    Raises:
        ValueError: it is not written like that.
    """
    total, at = 0.0, 0
    while match := _PART.match(text, at):
        number, unit = match.groups()
        if unit not in TIME_UNITS:
            raise ValueError(f"{unit} is no unit of time; there are {', '.join(TIME_UNITS)}")
        total += float(number) * TIME_UNITS[unit]
        at = match.end()
    if not at or text[at:].strip() or not math.isfinite(total):
        raise ValueError("not a duration such as 90s, 1m30s or 250ms")
    return total


def parse_rate_per_s(text: str) -> float:
    """The rate a second in a text such as ``200/s`` or ``90/min``; without a unit it is a second's.

    Raises:
        ValueError: it is not written like that.
    """
    match = _RATE.fullmatch(text)
    rate = float(match[1]) * RATE_UNITS[(match[2] or "/s").replace(" ", "")] if match else math.inf
    if not math.isfinite(rate):
        raise ValueError("not a rate such as 200/s or 90/min")
    return rate


def parse_share(text: str) -> float:
    """The share in a text such as ``10%`` or ``0.1``; bounds are the caller's.

    Raises:
        ValueError: it is not written like that.
    """
    match = _SHARE.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else math.inf
    if not math.isfinite(share):
        raise ValueError("not a share such as 10% or 0.1")
    return share


def number_text(value: float) -> str:
    """A number for people, with four significant digits at least: ``1200``, ``0.25``, ``13.33``."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "0" if text == "-0" else text


def duration_text(seconds: float) -> str:
    """A duration for people: ``0s``, ``250ms``, ``12.5s``, ``1m30s``, ``2h5m``."""
    if seconds < 0 or not math.isfinite(seconds):
        return f"{number_text(seconds)}s"
    if 0 < seconds < 0.001:
        return f"{number_text(seconds * 1e6)}us"
    if 0 < seconds < 0.9995:
        return f"{number_text(seconds * 1000)}ms"
    if seconds < 59.995:
        return f"{number_text(seconds)}s"
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{value}{unit}" for value, unit in parts if value)


def rate_text(per_s: float) -> str:
    """A rate for people: ``200/s``."""
    return f"{number_text(per_s)}/s"


def share_text(share: float) -> str:
    """A share for people: ``10%``."""
    return f"{number_text(share * 100)}%"
