"""The jobs of a plan: when they arrive, what they ask for and how long they are.

Arrivals are an open model: they keep to their times however slow the gateway is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, assert_never

from pydantic import BeforeValidator, Field, model_validator

from node.loadtest.plan.curve import Segment
from node.loadtest.plan.distributions import Constant, Distribution
from node.loadtest.plan.vocabulary import Name, PerSecond, PositiveCount, PositiveSeconds, Seconds, Table, fault

Pattern = Literal["even", "poisson"]
"""How arrivals lie in time: evenly, or each independent of the others as those of many askers are."""


class Stream(Table):
    """Arrivals from ``at_s`` on, for ``for_s`` or to the end of the run. Streams add up."""

    at_s: Seconds = 0.0
    for_s: PositiveSeconds | None = None

    def end_s(self, duration_s: float) -> float:
        """When it ends, in a run of this length."""
        return duration_s if self.for_s is None else min(duration_s, self.at_s + self.for_s)


class ConstantStream(Stream):
    """The same time between every two jobs."""

    kind: Literal["constant"]
    rate_per_s: PerSecond


class PoissonStream(Stream):
    """A steady rate, with the gaps and clusters of independent askers."""

    kind: Literal["poisson"]
    rate_per_s: PerSecond


class RampStream(Stream):
    """A rate that grows or falls evenly from ``from`` to ``to`` over the stream's time."""

    kind: Literal["ramp"]
    from_per_s: PerSecond = 0.0
    to_per_s: PerSecond
    pattern: Pattern = "poisson"


class BurstStream(Stream):
    """``count`` jobs at once, or evenly over ``over``."""

    kind: Literal["burst"]
    count: PositiveCount
    over_s: Seconds = 0.0

    def end_s(self, duration_s: float) -> float:
        """See `Stream.end_s`."""
        return min(duration_s, self.at_s + self.over_s)

    @model_validator(mode="after")
    def _over_not_for(self) -> Self:
        if self.for_s is not None:
            raise fault("a burst has no for", "write over for the time that its jobs are spread over")
        return self


class ReplayStream(Stream):
    """The jobs of a trace: a file with a JSON object a line, such as ``{"at_s": 0.25, "model": "m", "max_output": 64}``.

    ``at_s`` in the file counts from the stream's start; ``speed`` 2 replays it in half the time. What a line leaves
    out (``max_output``, ``prompt_tokens``) is drawn as for other jobs.
    """

    kind: Literal["replay"]
    file: Annotated[Path, BeforeValidator(lambda given: Path(given) if isinstance(given, str) and given else given)]
    speed: Annotated[float, Field(gt=0, le=1e6)] = 1.0


SteadyArrivals: TypeAlias = ConstantStream | PoissonStream | RampStream | BurstStream
"""Those that have a rate."""

Arrivals: TypeAlias = Annotated[SteadyArrivals | ReplayStream, Field(discriminator="kind")]


class ModelWeight(Table):
    """A model that jobs ask for; its part is its weight among those of all models."""

    name: Name
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0


class JobsPlan(Table):
    """All jobs: their arrivals, and what each is drawn from. A token of a prompt is a word."""

    arrivals: Annotated[tuple[Arrivals, ...], Field(strict=False)] = ()
    models: Annotated[tuple[ModelWeight, ...], Field(strict=False, min_length=1)] = (
        ModelWeight(name="llama3.1:latest"),
    )
    prompt_tokens: Distribution = Constant(value=20.0)
    max_output: Distribution = Constant(value=256.0)


def rate_segment(stream: SteadyArrivals, duration_s: float) -> Segment:
    """A stream's jobs a second over its time, in a plan of this length; a burst has its jobs spread over some."""
    end_s = stream.end_s(duration_s)
    match stream:
        case ConstantStream() | PoissonStream():
            return Segment(stream.at_s, end_s, stream.rate_per_s, stream.rate_per_s)
        case RampStream():
            return Segment(stream.at_s, end_s, stream.from_per_s, stream.to_per_s)
        case BurstStream():
            rate = stream.count / stream.over_s
            return Segment(stream.at_s, end_s, rate, rate)
        case _:
            assert_never(stream)


def pattern_of(stream: SteadyArrivals) -> Pattern:
    """How a stream's arrivals lie in time."""
    match stream:
        case PoissonStream():
            return "poisson"
        case RampStream():
            return stream.pattern
        case ConstantStream() | BurstStream():
            return "even"
        case _:
            assert_never(stream)
