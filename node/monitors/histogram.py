"""Durations in little space."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import ceil, frexp
from typing import Final

_LOWEST_EXPONENT: Final = -19
"""The first octave begins at 2^-20 s, a microsecond; what is shorter counts as zero seconds."""

_LEAST_S: Final = 2.0 ** (_LOWEST_EXPONENT - 1)

_OCTAVES: Final = 37
"""The last octave ends at 2^17 s, 36 hours; what is longer counts there."""

_PARTS: Final = 32
"""Buckets an octave: the middle of a bucket is at most 1/64 (1.6 %) of the value away from it."""

_BUCKETS: Final = _OCTAVES * _PARTS
_TWO_PARTS: Final = 2 * _PARTS
_OFFSET: Final = (_LOWEST_EXPONENT + 1) * _PARTS

_AT_ONCE: Final = 500
"""Values that are counted together: one after the other, between all else that a busy node does, takes thrice as long."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations in seconds, summed up; all zero while ``count`` is."""

    count: int = 0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


class Histogram:
    """Counts durations in buckets whose width grows with the value (log-linear, as HdrHistogram's do).

    Percentiles are nearest-rank and at most 1.6 % off between 1 µs and 36 h; the mean and ``max_s`` are exact. It
    takes 10 KB whatever it holds, and some more while values wait to be counted: that is done for many at once.
    """

    __slots__ = ("_count", "_counts", "_max_s", "_recent", "_sum_s", "_zeros")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _BUCKETS))
        self._zeros = 0
        self._sum_s = 0.0
        self._count = 0
        self._max_s = 0.0
        self._recent: list[float] = []

    @property
    def count(self) -> int:
        """How many durations it holds."""
        return self._count + len(self._recent)

    @property
    def max_s(self) -> float:
        """The longest; 0 while there is none."""
        self._settle()
        return self._max_s

    def record(self, seconds: float) -> None:
        """Take a duration, a finite number; one below 1 µs, or below zero, counts as zero."""
        recent = self._recent
        recent.append(seconds)
        if len(recent) >= _AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        recent, self._recent = self._recent, []
        self._count += len(recent)
        counts = self._counts
        for seconds in recent:
            if seconds < _LEAST_S:
                self._zeros += 1
                continue
            mantissa, exponent = frexp(seconds)
            bucket = int(mantissa * _TWO_PARTS) + exponent * _PARTS - _OFFSET
            counts[bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1
            self._sum_s += seconds
        self._max_s = max(self._max_s, *recent, 0.0)

    def percentiles(self, *percents: float) -> list[float]:
        """The durations in seconds that these percentages of all (ascending) do not exceed; 0 while there is none."""
        self._settle()
        found: list[float] = []
        ranks = [max(1, ceil(percent / 100 * self._count)) for percent in percents]
        seen = self._zeros
        while len(found) < len(ranks) and (seen >= ranks[len(found)] or not self._count):
            found.append(0.0)
        for bucket, count in enumerate(self._counts):
            if not count:
                continue
            seen += count
            while len(found) < len(ranks) and seen >= ranks[len(found)]:
                found.append(min(_middle(bucket), self._max_s))
        return found

    def summary(self) -> Latency:
        """The usual figures."""
        if not self.count:
            return Latency()
        p50, p90, p99 = self.percentiles(50, 90, 99)
        return Latency(self._count, self._sum_s / self._count, p50, p90, p99, self._max_s)


def _middle(bucket: int) -> float:
    octave, part = divmod(bucket, _PARTS)
    return float((_PARTS + part + 0.5) * 2.0 ** (octave + _LOWEST_EXPONENT) / (2 * _PARTS))
