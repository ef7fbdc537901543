"""Whether a series of measurements rises: the slope by Theil and Sen, which no few outliers move, and its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import Final, NamedTuple

BLOCKS: Final = 24
"""Pieces of equal length into which a series is cut: neighbouring measurements are not independent, medians of pieces nearly are."""

_Z: Final = 1.96
"""Of a normal distribution, for 95 %."""


class Slope(NamedTuple):
    """Units an hour, and the bounds between which it lies with 95 %."""

    per_hour: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def blocks(times: Sequence[float], values: Sequence[float], count: int = BLOCKS) -> list[tuple[float, float]]:
    """The middle and the median of each piece of time that has measurements."""
    if not times:
        return []
    begin, length = times[0], (times[-1] - times[0]) / count or 1.0
    pieces: dict[int, list[float]] = {}
    for at, value in zip(times, values, strict=True):
        pieces.setdefault(min(int((at - begin) / length), count - 1), []).append(value)
    return [(begin + (number + 0.5) * length, statistics.median(piece)) for number, piece in sorted(pieces.items())]


def fit(times: Sequence[float], values: Sequence[float]) -> Slope | None:
    """The slope of values over times in seconds; None for less than a handful of pieces.

    The interval is Sen's: the slopes of all pairs, cut off where Kendall's statistic would be as improbable.
    """
    points = blocks(times, values)
    number = len(points)
    if number < 6:
        return None
    slopes = sorted((later - sooner) / (then - at) * 3600 for (at, sooner), (then, later) in combinations(points, 2))
    spread = _Z * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(statistics.median(slopes), slopes[low], slopes[high])
