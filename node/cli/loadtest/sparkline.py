"""Charts one line high, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_EIGHTHS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """The last values, a column each, ``width`` at most; a gap where there is None.

    ``top`` is what a full column stands for; without one it is the highest value shown. Zero is the lowest bar.
    """
    shown = values[-width:] if width > 0 else ()
    full = top or max((value for value in shown if value is not None), default=0.0) or 1.0
    return "".join(" " if value is None else _bar(value / full) for value in shown)


def _bar(share: float) -> str:
    return _EIGHTHS[min(len(_EIGHTHS) - 1, max(0, round(share * (len(_EIGHTHS) - 1))))]
