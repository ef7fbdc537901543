"""Where arrivals come from: a rate, a single moment, or a trace."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.loadtest.plan.curve import Segment
from node.loadtest.plan.jobs import Arrivals, BurstStream, Pattern, ReplayStream, pattern_of, rate_segment
from node.loadtest.plan.trace import TraceJob

Timed = tuple[float, TraceJob | None]
"""When a job arrives, and what was recorded of it where it comes from a trace."""


class Source(Protocol):
    """The arrivals of one stream of a plan."""

    def jobs(self, chance: random.Random) -> Iterator[Timed]:
        """All of them in the order of their times."""
        ...

    def expected(self, from_s: float, to_s: float) -> float:
        """How many arrive on average from one time up to, not including, a later one."""
        ...


@dataclass(frozen=True, slots=True)
class RateSource:
    """Arrivals at a rate that changes in a straight line, evenly or as a Poisson process.

    The Poisson process is exact: one of rate 1, whose gaps are exponential, is put on the times at which the rate's
    integral reaches its points.
    """

    segment: Segment
    pattern: Pattern

    def jobs(self, chance: random.Random) -> Iterator[Timed]:
        """See `Source.jobs`."""
        is_even = self.pattern == "even"
        reached, area = (-0.5 if is_even else 0.0), self.segment.area
        while True:
            reached += 1.0 if is_even else chance.expovariate(1.0)
            if reached > area:
                return
            yield self.segment.time_of_area(reached), None

    def expected(self, from_s: float, to_s: float) -> float:
        """See `Source.expected`."""
        return self.segment.area_until(to_s) - self.segment.area_until(from_s)


@dataclass(frozen=True, slots=True)
class MomentSource:
    """Arrivals all at once."""

    at_s: float
    count: int

    def jobs(self, chance: random.Random) -> Iterator[Timed]:
        """See `Source.jobs`."""
        del chance
        return itertools.repeat((self.at_s, None), self.count)

    def expected(self, from_s: float, to_s: float) -> float:
        """See `Source.expected`."""
        return self.count if from_s <= self.at_s < to_s else 0.0


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Recorded arrivals, from ``start_s`` up to, not including, ``end_s``."""

    recorded: Sequence[TraceJob]
    start_s: float
    end_s: float
    speed: float

    def jobs(self, chance: random.Random) -> Iterator[Timed]:
        """See `Source.jobs`."""
        del chance
        within = itertools.islice(self.recorded, self._before(self.end_s))
        return ((self.start_s + job.at_s / self.speed, job) for job in within)

    def expected(self, from_s: float, to_s: float) -> float:
        """See `Source.expected`."""
        return self._before(min(to_s, self.end_s)) - self._before(min(from_s, self.end_s))

    def _before(self, at_s: float) -> int:
        return bisect_left(self.recorded, at_s, key=lambda job: self.start_s + job.at_s / self.speed)


def source_of(stream: Arrivals, duration_s: float, traces: Mapping[Path, Sequence[TraceJob]]) -> Source:
    """The arrivals of a stream in a plan of this length; ``traces`` are by the paths that the plan names."""
    if isinstance(stream, ReplayStream):
        return TraceSource(traces[stream.file], stream.at_s, stream.end_s(duration_s), stream.speed)
    if isinstance(stream, BurstStream) and not stream.over_s:
        return MomentSource(stream.at_s, stream.count)
    return RateSource(rate_segment(stream, duration_s), pattern_of(stream))
