"""HDR histograms of latencies: 1 µs to 1 h, 3 significant digits, merged by adding.

After Gil Tene's HdrHistogram, whose indices, percentiles and file format these have, so that any of its tools reads
them. Its Python port takes 0.9 µs to record a value and has no types; a `Tally` takes a third of that, which matters
where tens of thousands of values a second are recorded on the event loop.

Coordinated omission (Gil Tene, "How NOT to Measure Latency", 2013): a generator that waits for an answer before it
asks again asks nothing while the other side stalls, and so leaves out just the worst values. The cure is to measure
from the time at which a request was meant to start; where only the pace is known, `Tally.record_corrected` adds the
values that the requests left out would have had.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import ceil
from operator import mul
from typing import Final

from node.loadtest.figures.buckets import FINE, HIGHEST_US

_COOKIE: Final = 0x1C849303 | 0x10
_COMPRESSED_COOKIE: Final = 0x1C849304 | 0x10
_HEADER: Final = struct.Struct(">iiiiqqd")
_OUTER: Final = struct.Struct(">ii")
_MAX_BYTES: Final = 16 * FINE.size
_BAD: Final = "this is no HdrHistogram of 1 µs to 1 h with 3 digits in format V2"


class Tally:
    """What was recorded since the last `Histogram.take`: the hot path, sparse and without sums."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    def record(self, seconds: float) -> None:
        """Count a duration; below zero counts as zero, above an hour as an hour."""
        us = int(seconds * 1e6 + 0.5)
        shift = us.bit_length() - 11
        if shift <= 0 <= us:
            self.counts[us] += 1
        elif 0 < us <= HIGHEST_US:
            self.counts[(shift << 10) + (us >> shift)] += 1
        else:
            self.counts[0 if us < 0 else FINE.index(HIGHEST_US)] += 1

    def record_corrected(self, seconds: float, interval_s: float) -> int:
        """Count a duration, and those of the requests that a stall of that length kept from being made.

        As HdrHistogram's first implementation has it: one every ``interval_s`` (above 0), so ``seconds`` less one
        interval, less two, … as long as that is not below one. How many were added to the one.
        """
        self.record(seconds)
        interval_us = max(1, int(interval_s * 1e6 + 0.5))
        missing_us = min(int(seconds * 1e6 + 0.5), HIGHEST_US) - interval_us
        # Not in smaller steps than could be told apart, whatever the pace was said to be.
        step_us = max(interval_us, missing_us // 100_000)
        missing = range(missing_us, interval_us - 1, -step_us)
        for us in missing:
            self.counts[FINE.index(us)] += 1
        return len(missing)


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of a histogram: how many values, their sum, and percentiles as asked for, both in seconds."""

    count: int
    sum_s: float
    percentiles_s: tuple[float, ...]


class Histogram:
    """Counts of whole microseconds. It takes 190 KB, whatever it holds."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * FINE.size))

    def take(self, tally: Tally) -> dict[int, int]:
        """Move all of a tally here; what was moved, as counts by fine bucket."""
        taken = dict(tally.counts)
        tally.counts.clear()
        for index, count in taken.items():
            self._counts[index] += count
        return taken

    def add(self, other: Histogram) -> None:
        """Count all that another has: nothing is lost, and the order does not matter."""
        for index, count in other.buckets():
            self._counts[index] += count

    def buckets(self) -> Iterator[tuple[int, int]]:
        """Fine buckets that are not empty, lowest first, with their counts."""
        return ((index, count) for index, count in enumerate(self._counts) if count)

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self._counts)

    @property
    def mean_s(self) -> float:
        """Their mean in seconds, 0 where there are none; at most 0.05 % off."""
        count = self.count
        return sum(FINE.middle(index) * times for index, times in self.buckets()) / count / 1e6 if count else 0.0

    @property
    def max_s(self) -> float:
        """The highest value that shares the highest one's bucket, in seconds; 0 where there are none."""
        return self.percentiles_s(100.0)[0]

    def percentiles_s(self, *percents: float) -> tuple[float, ...]:
        """For each percentage (in any order) the least value in seconds that so many do not exceed, 0 without values."""
        return percentiles_s(dict(self.buckets()), *percents)

    def summary(self, *percents: float) -> Summary:
        """Count, sum and percentiles in one look, a millisecond or two long: for what must not stop the event loop."""
        raw = self._counts.tobytes()
        first = (len(raw) - len(raw.lstrip(b"\0"))) // 8
        counts = self._counts[first : -(-len(raw.rstrip(b"\0")) // 8)]
        seen = list(accumulate(counts))
        if not seen:
            return Summary(0, 0.0, (0.0,) * len(percents))
        ranks = (max(1, ceil(percent * seen[-1] / 100 - 1e-9)) for percent in percents)
        found = tuple(FINE.highest(first + bisect_left(seen, rank)) / 1e6 for rank in ranks)
        return Summary(seen[-1], sum(map(mul, counts, _middles()[first:])) / 1e6, found)

    def share_above(self, seconds: float) -> float:
        """The share, 0 to 1, of values that lie in buckets above the one of this duration."""
        count = self.count
        limit = FINE.index(min(max(0, int(seconds * 1e6 + 0.5)), HIGHEST_US))
        return sum(times for index, times in self.buckets() if index > limit) / count if count else 0.0

    def encode(self) -> str:
        """The histogram as HdrHistogram's compressed V2 format in base64: some 10 to 5,000 characters."""
        payload = _packed(dict(self.buckets()))
        whole = _HEADER.pack(_COOKIE, len(payload), 0, 3, 1, HIGHEST_US, 1.0) + payload
        body = zlib.compress(whole)
        return base64.b64encode(_OUTER.pack(_COMPRESSED_COOKIE, len(body)) + body).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read what `encode` wrote, here or in another implementation.

        Raises:
            ValueError: it is not that, or of another range.
        """
        try:
            data = base64.b64decode(text, validate=True)
            cookie, length = _OUTER.unpack_from(data)
            inflater = zlib.decompressobj()
            whole = inflater.decompress(data[_OUTER.size : _OUTER.size + length], _MAX_BYTES)
            inner, size, offset, digits, lowest, highest, _ = _HEADER.unpack_from(whole)
            if (cookie, inner, offset, digits, lowest, highest) != (_COMPRESSED_COOKIE, _COOKIE, 0, 3, 1, HIGHEST_US):
                raise ValueError(_BAD)
            if not inflater.eof or len(whole) != _HEADER.size + size:
                raise ValueError(_BAD)
            histogram = cls()
            for index, count in _unpacked(whole[_HEADER.size :]):
                histogram._counts[index] = count
        except (binascii.Error, struct.error, zlib.error, IndexError, OverflowError) as error:
            raise ValueError(_BAD) from error
        return histogram


@cache
def _middles() -> tuple[float, ...]:
    return tuple(map(FINE.middle, range(FINE.size)))


def percentiles_s(counts: Mapping[int, int], *percents: float) -> tuple[float, ...]:
    """As `Histogram.percentiles_s`, of counts by fine bucket."""
    total = sum(counts.values())
    found: dict[float, float] = {}
    seen, items = 0, iter(sorted(counts.items()))
    index = 0
    for percent in sorted(percents):
        # A rank that only rounding lifts above a whole number is that number.
        rank = max(1, ceil(percent * total / 100 - 1e-9))
        while seen < rank and total:
            index, count = next(items)
            seen += count
        found[percent] = FINE.highest(index) / 1e6 if total else 0.0
    return tuple(found[percent] for percent in percents)


def _packed(counts: Mapping[int, int]) -> bytes:
    """Counts in order, as zigzag LEB128; a run of empty buckets is one negative number."""
    out = bytearray()

    def write(number: int) -> None:
        number = (number << 1) if number >= 0 else ((-number << 1) - 1)
        while number > 0x7F:
            out.append((number & 0x7F) | 0x80)
            number >>= 7
        out.append(number)

    at = 0
    for index, count in sorted(counts.items()):
        if index > at:
            write(-(index - at) if index - at > 1 else 0)
        write(count)
        at = index + 1
    return bytes(out)


def _unpacked(payload: bytes) -> Iterator[tuple[int, int]]:
    index = at = 0
    while at < len(payload):
        number = shift = 0
        while payload[at] & 0x80:
            number |= (payload[at] & 0x7F) << shift
            shift += 7
            at += 1
        number |= payload[at] << shift
        at += 1
        if number & 1:
            index += (number + 1) >> 1
        else:
            if number:
                yield index, number >> 1
            index += 1
