"""Where a run is in steady state: the warm-up cut off by a rule.

MSER-5: K. P. White, "An effective truncation heuristic for bias reduction in simulation output", Simulation 69 (1997);
in batches of 5, S. C. Spratt (1998) and White, Cobb, Spratt, "A comparison of five steady-state truncation heuristics
for simulation", Winter Simulation Conference 2000. Of the series in batches of 5 that beginning is cut off which leaves
the least standard error of the mean of the rest, its squared deviations divided by the square of its length. It is looked
for in the first half, as White advises, since the few last batches may be alike by chance. If what is left still rises or
falls by more than `DRIFT` of its mean from its beginning to its end, and not by chance, there is no steady state: a queue
that grows to the end has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, linear_regression
from typing import Final

from node.loadtest.figures.student import two_sided_t

BATCH: Final = 5
LEAST_BATCHES: Final = 6
"""Shorter series tell no warm-up from chance."""


DRIFT: Final = 0.1

_CHANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Window:
    """The part ``start`` up to, not including, ``end`` of a series, in cells, and ``rule``: how it was found.

    Where no steady state was found ``is_steady`` is false, ``rule`` says why, and the part is the planned one.
    """

    start: int
    end: int
    is_steady: bool
    rule: str

    def of(self, row: Sequence[float | None]) -> list[float]:
        """The values of this part, those left out that are missing."""
        return [value for value in row[self.start : self.end] if value is not None]


def find_window(rows: Mapping[str, Sequence[float | None]], start: int = 0, end: int | None = None) -> Window:
    """The steady part of all ``rows`` (one at least; values a second), looked for between ``start`` and ``end``.

    ``start`` and ``end`` are what the plan holds to be warm and not yet winding down, in cells. It begins where the
    last row has settled. A missing value counts as the one before it.
    """
    stop = min(len(row) for row in rows.values())
    end = stop if end is None else min(end, stop)
    cut, slowest = 0, ""
    for name, row in rows.items():
        found = _truncation(_batches(row[start:end]))
        if isinstance(found, str):
            return Window(start, max(start, end), is_steady=False, rule=f"no steady state of {name}: {found}")
        if found * BATCH > cut:
            cut, slowest = found * BATCH, f", the last to settle was {name}"
    rule = f"MSER-{BATCH} (White 1997): {cut} of {end - start} cells cut off as warm-up{slowest}"
    return Window(start + cut, end, is_steady=True, rule=rule)


def _batches(row: Sequence[float | None]) -> list[float]:
    values: list[float] = []
    for value in row:
        if value is not None:
            values.append(value)
        elif values:
            values.append(values[-1])
    return [fmean(values[at : at + BATCH]) for at in range(0, len(values) - BATCH + 1, BATCH)]


def _truncation(batches: Sequence[float]) -> int | str:
    """How many batches to cut off, or why none will do."""
    count = len(batches)
    if count < LEAST_BATCHES:
        return f"{count * BATCH} values are too few, {LEAST_BATCHES * BATCH} are needed"
    scores: list[float] = []
    total = squares = 0.0
    # From the end, so that each beginning costs one step; about the last value, lest squares cancel.
    for left, value in enumerate(reversed(batches), start=1):
        total += value - batches[-1]
        squares += (value - batches[-1]) ** 2
        scores.append(max(0.0, squares - total * total / left) / left**2)
    scores.reverse()
    best = min(range(count // 2 + 1), key=scores.__getitem__)
    if change := _drift(batches[best:]):
        return f"it changes by {change:+.0%} after {best * BATCH} of {count * BATCH} values"
    return best


def _drift(batches: Sequence[float]) -> float:
    """The relative change over a series by the straight line through it; 0 where it is small or may be chance."""
    count, mean = len(batches), fmean(batches)
    slope, start = linear_regression(range(count), batches)
    change = slope * (count - 1)
    if abs(change) <= DRIFT * abs(mean):
        return 0.0
    left = sum((value - start - slope * at) ** 2 for at, value in enumerate(batches))
    error = sqrt(left / (count - 2) / sum((at - (count - 1) / 2) ** 2 for at in range(count)))
    is_sure = abs(slope) > two_sided_t(_CHANCE, count - 2) * error
    return change / (abs(mean) or 1.0) if is_sure else 0.0
