"""Histograms have HdrHistogram's very figures and format."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.figures.buckets import COARSE, FINE, HIGHEST_US, coarsened
from node.loadtest.figures.histogram import Histogram, Tally, percentiles_s
from node.loadtest.figures.slices import Slice

PUBLISHED = "HISTFAAAADJ4nJNpmSzMwMAAwiDADKUZQcS1yUsY7D9ABdiYGJk+y3Mx7e9jPLCDafEeRhYA1dEJ8A=="
"""What HdrHistogram 0.10.8 of PyPI encodes for `RECORDED`, 1 µs to 1 h with 3 digits."""

RECORDED = [(1, 3), (2, 1), (4, 1), (2047, 5), (2048, 1), (1_000_000, 20_000), (3_600_000_000, 2)]

values_us = st.integers(0, HIGHEST_US)


def filled(*values: int) -> Histogram:
    tally, histogram = Tally(), Histogram()
    for us in values:
        tally.record(us / 1e6)
    histogram.take(tally)
    return histogram


def random_of_the_library() -> list[int]:
    state, values = 12345, []
    for number in range(2000):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state % (10 ** (1 + number % 9)))
    return values


def test_the_percentiles_are_those_of_the_library() -> None:
    histogram = filled(*random_of_the_library())
    found = [round(value * 1e6) for value in histogram.percentiles_s(10, 25, 50, 75, 90, 99, 99.9, 100)]
    assert found == [7, 194, 44607, 6848511, 96337919, 932184063, 996671487, 997720063]
    assert histogram.mean_s * 1e6 == pytest.approx(62734945.6365)
    assert histogram.count == 2000


@given(st.lists(values_us, max_size=20))
def test_a_summary_is_what_the_slower_ways_say(values: list[int]) -> None:
    histogram, percents = filled(*values), (0.0, 50.0, 99.0, 100.0)
    found = histogram.summary(*percents)
    assert (found.count, found.percentiles_s) == (histogram.count, histogram.percentiles_s(*percents))
    assert found.sum_s == pytest.approx(histogram.mean_s * histogram.count)


def test_the_format_is_that_of_the_library() -> None:
    read = Histogram.decode(PUBLISHED)
    made = filled(*(us for us, count in RECORDED for _ in range(count)))
    assert list(read.buckets()) == list(made.buckets()) == [(FINE.index(us), count) for us, count in RECORDED]
    assert read.mean_s * 1e6 == pytest.approx(1359285.220056963)
    assert read.max_s * 1e6 == pytest.approx(3600809983)
    assert list(Histogram.decode(made.encode()).buckets()) == list(made.buckets())


@pytest.mark.parametrize(
    ("value_s", "interval_s", "count", "mean_us"),
    [(5.0, 0.7, 7, 2_900_000.0), (0.0021, 0.0007, 3, 1400.33), (1.0, 2.0, 1, 1_000_000.0)],
)
def test_the_correction_is_that_of_hdrhistogram(value_s: float, interval_s: float, count: int, mean_us: float) -> None:
    tally, histogram = Tally(), Histogram()
    assert tally.record_corrected(value_s, interval_s) == count - 1
    histogram.take(tally)
    assert histogram.count == count
    assert histogram.mean_s * 1e6 == pytest.approx(mean_us, rel=1e-3)


def test_a_correction_of_an_hour_by_a_microsecond_ends() -> None:
    assert Tally().record_corrected(1e9, 1e-6) < 200_000


def test_a_stall_of_five_seconds_shows_in_p99() -> None:
    """Ten requests a second, one of which waits 5 s: 49 others were never asked, and would have waited too."""
    plain, corrected = Tally(), Tally()
    for number in range(600):
        took_s = 5.0 if number == 300 else 0.01
        plain.record(took_s)
        corrected.record_corrected(took_s, 0.1)
    p99 = [percentiles_s(tally.counts, 99)[0] for tally in (plain, corrected)]
    assert p99[0] < 0.02
    assert p99[1] > 4


@given(values_us)
def test_a_value_lies_in_its_bucket_to_three_digits(us: int) -> None:
    index = FINE.index(us)
    low, high = FINE.lowest(index), FINE.highest(index)
    assert low <= us <= high
    assert high - low <= us / 1000
    assert 0 <= index < FINE.size
    coarse = coarsened(index)
    middle = COARSE.middle(coarse)
    assert abs(middle - us) <= max(1, us * 0.0085)


@given(st.lists(values_us), st.lists(values_us))
def test_merging_is_the_same_as_recording_all(one: list[int], two: list[int]) -> None:
    merged = filled(*one)
    merged.add(Histogram.decode(filled(*two).encode()))
    assert list(merged.buckets()) == list(filled(*one, *two).buckets())


@given(st.lists(values_us, min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(values: list[int], percent: float) -> None:
    found = round(filled(*values).percentiles_s(percent)[0] * 1e6)
    within = sum(us <= found for us in values)
    assert within >= percent / 100 * len(values) - 1e-6
    below = sum(us < FINE.lowest(FINE.index(min(found, HIGHEST_US))) for us in values)
    assert below < percent / 100 * len(values) + 1e-6


def test_bounds() -> None:
    histogram = filled(-5, 0, 2 * HIGHEST_US)
    assert histogram.percentiles_s(50)[0] == 0
    assert round(histogram.max_s) == 3601
    empty = Histogram()
    assert (empty.count, empty.mean_s, empty.max_s, empty.share_above(1.0)) == (0, 0.0, 0.0, 0.0)
    assert filled(1000, 2000, 3000, 4000).share_above(0.002) == 0.5


@pytest.mark.parametrize(
    "text",
    ["", "no base64!", "AAAA", base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\x04abcd").decode(), PUBLISHED[:-20] + "AAAA"],
)
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HdrHistogram"):
        Histogram.decode(text)


@given(st.lists(values_us, max_size=50), st.lists(values_us, max_size=50))
def test_slices_join_and_travel(one: list[int], two: list[int]) -> None:
    def sliced(values: list[int]) -> Slice:
        return Slice.of(dict(filled(*values).buckets()))

    joined = Slice.joined([sliced(one), Slice.decode(json.loads(json.dumps(sliced(two).encode())))])
    assert joined == sliced([*one, *two])
    assert hash(joined) == hash(sliced([*one, *two]))
    assert joined.count == len(one) + len(two)
    if joined.count:
        exact = sorted([*one, *two])[(joined.count + 1) // 2 - 1]
        assert joined.percentile_s(50) == pytest.approx(exact / 1e6, rel=0.0085, abs=1e-6)
        assert joined.mean_s == pytest.approx(sum([*one, *two]) / joined.count / 1e6, rel=0.0085, abs=1e-6)
    else:
        assert joined.percentile_s(50) is joined.mean_s is None


@pytest.mark.parametrize("text", ["!", "AAAA", base64.b64encode(b"\xff" * 8).decode()])
def test_what_is_no_slice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Slice.decode(text)
