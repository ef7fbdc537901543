"""Values that change with time in straight lines and jumps: how many nodes, how many jobs a second."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight line from ``begin`` at ``start_s`` to ``end`` at ``end_s``; values are not negative.

    A line without length takes no time: it is a jump to ``end``.
    """

    start_s: float
    end_s: float
    begin: float
    end: float

    @property
    def slope(self) -> float:
        """Change of the value a second; 0 without length."""
        return (self.end - self.begin) / (self.end_s - self.start_s) if self.end_s > self.start_s else 0.0

    @property
    def area(self) -> float:
        """The integral over the whole segment: of a rate, how many there are."""
        return (self.end_s - self.start_s) * (self.begin + self.end) / 2

    def value(self, at_s: float) -> float:
        """The value at a time within the segment."""
        if at_s >= self.end_s:
            return self.end
        return self.begin + self.slope * (at_s - self.start_s)

    def area_until(self, at_s: float) -> float:
        """The integral from the start to a time, which is moved into the segment where it lies outside."""
        if at_s >= self.end_s:
            return self.area
        elapsed = max(0.0, at_s - self.start_s)
        return elapsed * (self.begin + self.slope * elapsed / 2)

    def time_of_area(self, area: float) -> float:
        """When `area_until` reaches an area, which lies between 0 and `area`."""
        root = math.sqrt(max(0.0, self.begin**2 + 2 * self.slope * area))
        # The form of the quadratic formula that does not subtract near equals.
        elapsed = 2 * area / (self.begin + root) if area else 0.0
        return min(self.start_s + elapsed, self.end_s)

    def time_of_value(self, value: float) -> float:
        """When the line, which is not level, meets a value between its ends."""
        share = (value - self.begin) / (self.end - self.begin)
        return self.start_s + share * (self.end_s - self.start_s)


@dataclass(frozen=True, slots=True)
class Curve:
    """Segments, one at least, each starting where the one before ends. Before the first the value is 0, after the last it stays."""

    segments: tuple[Segment, ...]

    def value(self, at_s: float) -> float:
        """The value at a time; at a jump the one after it."""
        place = bisect_right(self.segments, at_s, key=lambda segment: segment.start_s) - 1
        return self.segments[place].value(at_s) if place >= 0 else 0.0

    def lowest(self, from_s: float, to_s: float) -> float:
        """The least value from one time to a later one, both included."""
        within = [segment for segment in self.segments if from_s <= segment.end_s and segment.start_s <= to_s]
        ends = [
            value
            for segment in within
            for value in (segment.value(max(from_s, segment.start_s)), segment.value(min(to_s, segment.end_s)))
        ]
        return min([*ends, self.value(from_s), self.value(to_s)])

    @property
    def peak(self) -> float:
        """The highest value."""
        return max(max(segment.begin, segment.end) for segment in self.segments)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where segments start, in order, each time once."""
        return tuple(sorted({segment.start_s for segment in self.segments}))
