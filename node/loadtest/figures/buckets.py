"""The log-linear buckets of HdrHistogram, for whole microseconds.

An octave of values is cut into equally wide buckets, so that a bucket's width grows with the value and its relative
error stays. Two sizes: `FINE` keeps 3 significant digits, with the very indices of an ``HdrHistogram(1, 3600000000,
3)``; `COARSE` keeps 2 (each value is at most 0.8 % from its bucket's middle), for many small histograms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

HIGHEST_US: Final = 3_600_000_000
"""An hour, in microseconds: what is longer counts as this."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Values below ``2 ** bits`` have a bucket each; every octave above has ``2 ** (bits - 1)``."""

    bits: int

    def index(self, us: int) -> int:
        """The bucket of a value, which is neither negative nor above `HIGHEST_US`."""
        shift = us.bit_length() - self.bits
        return us if shift <= 0 else (shift << (self.bits - 1)) + (us >> shift)

    def lowest(self, index: int) -> int:
        """The lowest value of a bucket."""
        shift = max(0, (index >> (self.bits - 1)) - 1)
        return (index - (shift << (self.bits - 1))) << shift

    def highest(self, index: int) -> int:
        """The highest value of a bucket: what HdrHistogram gives as its percentile."""
        return self.lowest(index + 1) - 1

    def middle(self, index: int) -> float:
        """The value that stands for a bucket in sums: HdrHistogram's median equivalent value."""
        low = self.lowest(index)
        return low + ((self.lowest(index + 1) - low) >> 1)

    @property
    def size(self) -> int:
        """How many there are up to `HIGHEST_US`, filled up to a whole octave."""
        half = 1 << (self.bits - 1)
        return (self.index(HIGHEST_US) // half + 1) * half


FINE: Final = Buckets(11)
COARSE: Final = Buckets(7)


@lru_cache(maxsize=8192)
def coarsened(index: int) -> int:
    """The coarse bucket that a fine one lies in."""
    return COARSE.index(FINE.lowest(index))
