"""Numbers that vary: how long answers are, how fast an engine is, how long prompts are.

Each is drawn by its quantile function from a number between 0 and 1, so that the same chance gives the same value
wherever it is drawn.
"""

from __future__ import annotations

import math
from statistics import NormalDist, fmean
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from node.loadtest.plan.quantities import number_text
from node.loadtest.plan.vocabulary import Number, Table, fault

_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.95)
_STEPS: Final = 400
_EDGE: Final = 2.0**-53

NotNegative: TypeAlias = Annotated[Number, Field(ge=0, le=1e9)]
Positive: TypeAlias = Annotated[Number, Field(gt=0, le=1e9)]


class Shape(Table):
    """A distribution of numbers that are not negative."""

    def quantile(self, share: float) -> float:
        """The value that this share of all, from 0 up to 1 without it, does not exceed."""
        raise NotImplementedError

    @property
    def mean(self) -> float:
        """The average, summed up over 400 equal parts: a little low where the tail is long."""
        return fmean(self.quantile((step + 0.5) / _STEPS) for step in range(_STEPS))


class Constant(Shape):
    """Always the same. May be written as the number alone."""

    kind: Literal["constant"] = "constant"
    value: NotNegative

    def quantile(self, share: float) -> float:
        """See `Shape.quantile`."""
        del share
        return self.value

    def __str__(self) -> str:
        return number_text(self.value)


class Uniform(Shape):
    """Evenly between two ends."""

    kind: Literal["uniform"]
    low: NotNegative
    high: NotNegative

    def quantile(self, share: float) -> float:
        """See `Shape.quantile`."""
        return self.low + share * (self.high - self.low)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.high < self.low:
            raise fault(f"high ({number_text(self.high)}) is below low ({number_text(self.low)})", "exchange them")
        return self

    def __str__(self) -> str:
        return f"{number_text(self.low)} to {number_text(self.high)}"


class Normal(Shape):
    """A bell around ``center``, cut off below ``at_least`` and, where it is given, above ``at_most``."""

    kind: Literal["normal"]
    center: NotNegative
    deviation: Positive
    at_least: NotNegative = 0.0
    at_most: NotNegative | None = None

    def quantile(self, share: float) -> float:
        """See `Shape.quantile`: what is cut off is spread over the rest."""
        bell = NormalDist(self.center, self.deviation)
        low = bell.cdf(self.at_least)
        high = 1.0 if self.at_most is None else bell.cdf(self.at_most)
        value = bell.inv_cdf(_inside(low + share * (high - low)))
        value = max(self.at_least, value)
        return value if self.at_most is None else min(self.at_most, value)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most is not None and self.at_most <= self.at_least:
            raise fault("at_most is not above at_least", "leave room between them")
        return self

    def __str__(self) -> str:
        return f"{number_text(self.center)} ± {number_text(self.deviation)}"


class Lognormal(Shape):
    """Many small values and a long tail: half are below ``median``, one in twenty is above ``p95``."""

    kind: Literal["lognormal"]
    median: Positive
    p95: Positive

    def quantile(self, share: float) -> float:
        """See `Shape.quantile`."""
        spread = math.log(self.p95 / self.median) / _Z95
        return self.median * math.exp(spread * _NORMAL.inv_cdf(_inside(share)))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.p95 <= self.median:
            raise fault("p95 is not above the median", "give a larger p95, or a constant")
        return self

    def __str__(self) -> str:
        return f"median {number_text(self.median)}, p95 {number_text(self.p95)}"


class Exponential(Shape):
    """The more seldom the larger, around an average of ``average``."""

    kind: Literal["exponential"]
    average: Positive

    def quantile(self, share: float) -> float:
        """See `Shape.quantile`."""
        return -self.average * math.log1p(-share)

    def __str__(self) -> str:
        return f"exponential, mean {number_text(self.average)}"


def _number_alone(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return {"kind": "constant", "value": given}
    return given


def _inside(share: float) -> float:
    return min(max(share, _EDGE), 1 - _EDGE)


Distribution: TypeAlias = Annotated[
    Constant | Uniform | Normal | Lognormal | Exponential, Field(discriminator="kind"), BeforeValidator(_number_alone)
]
"""One of the shapes, or a number for `Constant`."""
