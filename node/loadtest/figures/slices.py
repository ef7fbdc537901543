"""Latencies of one stretch of time in little space: sparse histograms of 2 significant digits."""

from __future__ import annotations

import base64
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil
from sys import byteorder
from typing import Final

from node.loadtest.figures.buckets import COARSE, coarsened

_PAIR: Final = 8


class Slice:
    """An immutable histogram of some 200 bytes; values are within 0.8 % of what they were."""

    __slots__ = ("_packed",)

    def __init__(self, counts: Mapping[int, int]) -> None:
        """Keep counts by coarse bucket; see `of` for fine ones."""
        pairs = array("I")
        for index, count in sorted(counts.items()):
            pairs.append(index)
            pairs.append(count)
        self._packed = pairs.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slice) and self._packed == other._packed

    def __hash__(self) -> int:
        return hash(self._packed)

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Slice:
        """Of counts by fine bucket, as `node.loadtest.figures.histogram.Histogram.take` gives them."""
        coarse: Counter[int] = Counter()
        for index, count in counts.items():
            coarse[coarsened(index)] += count
        return cls(coarse)

    @classmethod
    def joined(cls, slices: Iterable[Slice]) -> Slice:
        """All values of several."""
        counts: Counter[int] = Counter()
        for one in slices:
            counts.update(one.counts())
        return cls(counts)

    def counts(self) -> dict[int, int]:
        """Counts by coarse bucket."""
        pairs = array("I", self._packed)
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(array("I", self._packed)[1::2])

    @property
    def mean_s(self) -> float | None:
        """Their mean in seconds; None without values."""
        count = self.count
        if not count:
            return None
        return sum(COARSE.middle(index) * times for index, times in self.counts().items()) / count / 1e6

    def percentile_s(self, percent: float) -> float | None:
        """The middle of the bucket of the least value that so many percent do not exceed; None without values."""
        counts = self.counts()
        left = max(1, ceil(percent * sum(counts.values()) / 100 - 1e-9))
        for index, count in counts.items():
            left -= count
            if left <= 0:
                return COARSE.middle(index) / 1e6
        return None

    def encode(self) -> str:
        """Base64 of pairs of 32-bit little-endian numbers: bucket, count."""
        return base64.b64encode(_swapped(self._packed)).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Slice:
        """Read what `encode` wrote.

        Raises:
            ValueError: it is not that.
        """
        packed = _swapped(base64.b64decode(text, validate=True))
        if len(packed) % _PAIR:
            raise ValueError("this is no slice of a histogram")
        pairs = array("I", packed)
        if any(index >= COARSE.size for index in pairs[::2]):
            raise ValueError("a slice of a histogram has a bucket that there is not")
        return cls(dict(zip(pairs[::2], pairs[1::2], strict=True)))


def _swapped(packed: bytes) -> bytes:
    if byteorder == "little":
        return packed
    pairs = array("I", packed)
    pairs.byteswap()
    return pairs.tobytes()
