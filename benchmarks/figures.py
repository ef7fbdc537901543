"""A figure: what it is, how it came out, and how it should."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


class Unmeasurable(Exception):
    """A figure cannot be had here; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of one quantity, summed up; with one value all three are it."""

    median: float
    p25: float
    p75: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        p25, median, p75 = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, p25, p75, len(values))


Found: TypeAlias = Mapping[str, "Spread | str"]
"""What came of figures by name: their values, or the reason why there are none."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should reach; one of the two bounds."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether this value does."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is None or value <= self.at_most

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {number(self.at_least)}"
        return "" if self.at_most is None else f"≤ {number(self.at_most)}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure that can be measured: its name, with the group in front, what it says, and its unit."""

    name: str
    what: str
    unit: str
    goal: Goal | None = None
    is_detail: bool = False
    """Whether it is left out of the short table."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of one run. Without ``spread`` it could not be measured, and ``missing`` says why."""

    kind: Kind
    spread: Spread | None
    missing: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it reaches its goal; None where it has none, or was not measured."""
        if self.kind.goal is None or self.spread is None:
            return None
        return self.kind.goal.is_met(self.spread.median)


def number(value: float) -> str:
    """A value as people read it: three digits that count, more where the number is large."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".")
