"""Axes of charts: from values to places, and where lines and numbers stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

_LEAST: Final = 1e-12
"""What is less is nothing."""
_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_TIME_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


class Axis(Protocol):
    """Values of one quantity along a line."""

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the beginning, 1 at the end; what lies beyond is drawn at the edge."""
        ...

    def ticks(self) -> list[float]:
        """Values to write at the axis, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """From ``low`` to ``high``, with a tick every ``step``."""

    low: float
    high: float
    step: float

    def place(self, value: float) -> float:
        """See `Axis.place`."""
        return _clamped((value - self.low) / (self.high - self.low))

    def ticks(self) -> list[float]:
        """See `Axis.ticks`."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return [number * self.step for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """From ``10 ** low`` to ``10 ** high``, with a tick at each power of ten."""

    low: int
    high: int

    def place(self, value: float) -> float:
        """See `Axis.place`."""
        if value <= 0:
            return 0.0
        return _clamped((math.log10(value) - self.low) / (self.high - self.low))

    def ticks(self) -> list[float]:
        """See `Axis.ticks`."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def from_zero(values: Iterable[float], most_ticks: int = 5) -> Linear:
    """An axis from 0 to a round number that is no less than any value."""
    highest = max(_finite(values), default=0.0)
    if highest < _LEAST:
        highest = 1.0
    step = _round_up(highest / most_ticks)
    return Linear(0.0, step * math.ceil(highest / step - 1e-9), step)


def powers_of_ten(values: Iterable[float], least: float) -> Logarithmic:
    """An axis of all values above 0, from no lower than the power of ten below ``least``."""
    positive = [value for value in _finite(values) if value > 0] or [least]
    low = math.floor(math.log10(max(min(positive), least)))
    high = math.ceil(math.log10(max(*positive, least)))
    return Logarithmic(low, max(high, low + 1))


def of_time(from_s: float, to_s: float, most_ticks: int = 6) -> Linear:
    """An axis of seconds with steps that people count in."""
    length_s = max(to_s - from_s, 1.0)
    step = next((step for step in _TIME_STEPS_S if length_s / step <= most_ticks), _TIME_STEPS_S[-1])
    return Linear(from_s, from_s + length_s, float(step))


def _finite(values: Iterable[float]) -> Iterator[float]:
    return (value for value in values if math.isfinite(value))


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))


def _clamped(place: float) -> float:
    return min(1.0, max(0.0, place))
