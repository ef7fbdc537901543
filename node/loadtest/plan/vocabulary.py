"""The types that a plan is declared with, and how they are written in TOML.

A field whose name ends in a unit may be written with it and as a number (``at_s = 2.5``), or without it and as a text
with a unit (``at = "2.5s"``). For a rate a number is enough (``rate = 200``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from node.loadtest.plan.quantities import number_text, parse_duration_s, parse_rate_per_s, parse_share

DAY_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Unitless:
    """A number written where a text with a unit belongs."""

    value: object


def written_name(field: str) -> str:
    """A name less ``_per_s`` or ``_s``."""
    return field.removesuffix("_s").removesuffix("_per")


class Table(BaseModel):
    """A table of a plan. Immutable; a key that it does not know is refused, and no type is guessed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )

    full_names: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written with their unit always."""

    @classmethod
    def short_name(cls, field: str) -> str:
        """How a field is written with its unit in the value."""
        return field if field in cls.full_names else written_name(field)

    @model_validator(mode="before")
    @classmethod
    def _take_both_names(cls, given: Any) -> Any:
        """Give keys without a unit the names of their fields, and mark numbers among them that lack one."""
        if not isinstance(given, dict):
            return given
        renamed = dict(given)
        for field in cls.model_fields:
            short = cls.short_name(field)
            if short != field and short in given and field not in given:
                value = renamed.pop(short)
                bare = isinstance(value, int | float) and not field.endswith("_per_s")
                renamed[field] = Unitless(value) if bare else value
        return renamed


def fault(problem: str, remedy: str) -> PydanticCustomError:
    """What a validator raises to say what is wrong and what to do; braces in either stay as they are."""
    return PydanticCustomError("plan", "{problem}", {"problem": problem, "remedy": remedy})


def _quantity(parse: Callable[[str], float], example: str) -> Callable[[object], object]:
    def read(value: object) -> object:
        match value:
            case Unitless(value=bool()) | bool():
                raise fault("true and false are no numbers", f"write it as {example}")
            case Unitless(value=float() as number) if not isfinite(number):
                raise fault(f"{number} is no duration", f"write it as {example}")
            case Unitless(value=int() | float() as number):
                raise fault(f"{number_text(number)} has no unit", f'write "{number_text(number)}s", or as {example}')
            case str():
                try:
                    return parse(value)
                except ValueError as error:
                    raise fault(str(error), f"write it as {example}") from None
            case _:
                return value

    return read


_READ_DURATION: Final = BeforeValidator(_quantity(parse_duration_s, '"90s", "1m30s" or "250ms"'))
_READ_RATE: Final = BeforeValidator(_quantity(parse_rate_per_s, '"200/s", "90/min" or 200'))
_READ_SHARE: Final = BeforeValidator(_quantity(parse_share, '"10%" or 0.1'))

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=DAY_S), _READ_DURATION]
"""A duration from 0 to a day."""

PositiveSeconds: TypeAlias = Annotated[float, Field(gt=0, le=DAY_S), _READ_DURATION]
"""A duration above 0, a day at most."""

PerSecond: TypeAlias = Annotated[float, Field(ge=0, le=1e6), _READ_RATE]
"""A rate from 0 to a million a second."""

Share: TypeAlias = Annotated[float, Field(ge=0, le=1), _READ_SHARE]
"""A part of a whole, 0 to 1."""

Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=10_000_000)]
PositiveCount: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000)]
Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True)]
Name: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
