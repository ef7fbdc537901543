"""A threshold, and whether it is met. What is not known is never met, nor missed: it is unknown."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from node.loadtest.plan.quantities import duration_text, number_text, rate_text, share_text
from node.loadtest.thresholds.dimensions import COUNT, RATE, SHARE, TIME, Dimension
from node.loadtest.thresholds.expression import Expression, dimension, names, value, written

Comparison = Literal["<", "<=", ">", ">=", "==", "!="]

_COMPARE: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class State(Enum):
    """What came of a threshold."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A threshold with what was found; ``left`` and ``right`` are None where the state is unknown, ``why`` says why."""

    threshold: Threshold
    state: State
    left: float | None = None
    right: float | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.left is None or self.right is None:
            return f"{self.threshold}: {self.state.value}, {self.why}"
        kind = self.threshold.kind
        found = f"{amount_text(self.left, kind)} {_relation(self.left, self.right)} {amount_text(self.right, kind)}"
        return f"{self.threshold}: {self.state.value}, {found}"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison of two expressions of one kind. `node.loadtest.thresholds.parser.parse_threshold` makes it."""

    left: Expression
    comparison: Comparison
    right: Expression

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that it needs, each once, by their canonical names."""
        return tuple(dict.fromkeys((*names(self.left), *names(self.right))))

    @property
    def kind(self) -> Dimension:
        """What is compared."""
        left, right = dimension(self.left), dimension(self.right)
        common = left.common(right) if left is not None and right is not None else None
        return SHARE if common is None else common

    def evaluate(self, values: Mapping[str, float | None]) -> Outcome:
        """Judge it by these figures: seconds, counts, rates a second, shares from 0 to 1.

        A figure that is not there, None or no finite number makes the outcome unknown. Never raises.
        """
        known = {name: found for name in self.names if (found := values.get(name)) is not None and math.isfinite(found)}
        missing = [name for name in self.names if name not in known]
        if missing:
            return Outcome(self, State.UNKNOWN, why=f"{' and '.join(missing)} not known")
        try:
            left, right = value(self.left, known), value(self.right, known)
        except ArithmeticError:
            return Outcome(self, State.UNKNOWN, why="it divides by zero")
        if not (math.isfinite(left) and math.isfinite(right)):
            return Outcome(self, State.UNKNOWN, why="its numbers are too large")
        met = _COMPARE[self.comparison](left, right)
        return Outcome(self, State.PASSED if met else State.FAILED, left, right)

    def __str__(self) -> str:
        return f"{written(self.left)} {self.comparison} {written(self.right)}"


def amount_text(amount: float, kind: Dimension) -> str:
    """A figure of this kind for people."""
    if kind == TIME:
        return duration_text(amount)
    if kind == RATE:
        return rate_text(amount)
    if kind == SHARE:
        return share_text(amount)
    if kind == COUNT:
        return f"{amount:.0f}" if float(amount).is_integer() else number_text(amount)
    return number_text(amount)


def _relation(left: float, right: float) -> str:
    if left == right:
        return "="
    return "<" if left < right else ">"
