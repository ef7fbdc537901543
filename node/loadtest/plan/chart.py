"""Small charts of block characters, and marks below them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
LABEL_WIDTH: Final = 8
"""Columns left of the area, axis included."""


def area_chart(values: Sequence[float], labels: Sequence[str], height: int = 4) -> list[str]:
    """An area of a column a value, none below 0, as lines from the top.

    ``labels`` stand left of the highest value and of zero, six characters at most each.
    """
    top = max(values, default=0.0) or 1.0
    # What is not zero is seen, however small beside the highest.
    filled = [max(round(value / top * 8 * height), 1 if value > 0 else 0) for value in values]
    lines = []
    for row in reversed(range(height)):
        bar = "".join(_EIGHTHS[min(8, max(0, eighths - 8 * row))] for eighths in filled)
        label = labels[0] if row == height - 1 else labels[1] if row == 0 else ""
        lines.append(f"{label:>{LABEL_WIDTH - 2}} │{bar}")
    return lines


def time_axis(width: int, begin: str, middle: str, end: str) -> str:
    """The line below a chart of this width: the words for start, middle and end of its time."""
    left = width // 2 - len(middle) // 2
    line = f"{begin:<{left}}{middle}"
    return " " * LABEL_WIDTH + f"{line:<{width - len(end)}}{end}"


def marks(times_s: Iterable[float], duration_s: float, width: int) -> str:
    """A line with a ▲ below the column of each time."""
    columns = {min(width - 1, int(at_s / duration_s * width)) for at_s in times_s}
    return " " * LABEL_WIDTH + "".join("▲" if column in columns else " " for column in range(width)).rstrip()
