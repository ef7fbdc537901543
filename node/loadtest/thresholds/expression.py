"""Arithmetic with names: what it is worth, what kind of thing it is, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, assert_never

from node.loadtest.plan.quantities import RATE_UNITS, TIME_UNITS
from node.loadtest.thresholds.dimensions import BARE, RATE, SHARE, TIME, Dimension
from node.loadtest.thresholds.vocabulary import dimension_of

Operator = Literal["+", "-", "*", "/"]

UNITS: Final = {
    "": (1.0, BARE),
    "%": (0.01, SHARE),
    **{unit: (scale, TIME) for unit, scale in TIME_UNITS.items()},
    **{unit: (scale, RATE) for unit, scale in RATE_UNITS.items()},
}
"""What may follow a number: its scale and its kind."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written, with its unit, empty where there is none."""

    number: str
    unit: str = ""

    @property
    def value(self) -> float:
        """In seconds, a second, or as a share."""
        return float(self.number) * UNITS[self.unit][0]


@dataclass(frozen=True, slots=True)
class Named:
    """A figure by its canonical name."""

    name: str


@dataclass(frozen=True, slots=True)
class Negated:
    """The negative of an operand."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Combined:
    """Two operands and what is done with them."""

    operator: Operator
    left: Expression
    right: Expression


Expression: TypeAlias = Quantity | Named | Negated | Combined


def dimension(expression: Expression) -> Dimension | None:
    """The kind of its value; None where a sum is of different kinds."""
    match expression:
        case Quantity(unit=unit):
            return UNITS[unit][1]
        case Named(name=name):
            return dimension_of(name)
        case Negated(operand=operand):
            return dimension(operand)
        case Combined(operator=operator, left=left, right=right):
            first, second = dimension(left), dimension(right)
            if first is None or second is None:
                return None
            match operator:
                case "*":
                    return first * second
                case "/":
                    return first / second
                case "+" | "-":
                    return first.common(second)
                case _:
                    assert_never(operator)
        case _:
            assert_never(expression)


def value(expression: Expression, values: Mapping[str, float]) -> float:
    """Its value with these figures, which hold all its names.

    Raises:
        ArithmeticError: it divides by zero, or is beyond the largest number.
    """
    match expression:
        case Quantity():
            return expression.value
        case Named(name=name):
            return values[name]
        case Negated(operand=operand):
            return -value(operand, values)
        case Combined(operator=operator, left=left, right=right):
            first, second = value(left, values), value(right, values)
            match operator:
                case "+":
                    return first + second
                case "-":
                    return first - second
                case "*":
                    return first * second
                case "/":
                    return first / second
                case _:
                    assert_never(operator)
        case _:
            assert_never(expression)


def names(expression: Expression) -> Iterator[str]:
    """The names in it, in order, as often as they stand there."""
    match expression:
        case Quantity():
            return
        case Named(name=name):
            yield name
        case Negated(operand=operand):
            yield from names(operand)
        case Combined(left=left, right=right):
            yield from names(left)
            yield from names(right)
        case _:
            assert_never(expression)


def written(expression: Expression) -> str:
    """As it is read again, with no more parentheses than it needs."""
    match expression:
        case Quantity(number=number, unit=unit):
            return number + unit
        case Named(name=name):
            return name
        case Negated(operand=operand):
            return f"-{_enclosed(operand, 3)}"
        case Combined(operator=operator, left=left, right=right):
            own = _rank(expression)
            return f"{_enclosed(left, own)} {operator} {_enclosed(right, own + 1)}"
        case _:
            assert_never(expression)


def _rank(expression: Expression) -> int:
    if isinstance(expression, Combined):
        return 1 if expression.operator in "+-" else 2
    return 3


def _enclosed(expression: Expression, least: int) -> str:
    text = written(expression)
    return text if _rank(expression) >= least else f"({text})"
