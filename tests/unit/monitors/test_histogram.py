from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.monitors.histogram import Histogram, Latency


def recorded(*values: float) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(
    values=st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=300),
    percents=st.lists(st.floats(0, 100), min_size=1, max_size=5).map(sorted),
)
def test_percentiles_are_within_two_percent(values: list[float], percents: list[float]) -> None:
    ranked = sorted(values)
    found = recorded(*values).percentiles(*percents)
    exact = [ranked[max(1, math.ceil(percent / 100 * len(ranked))) - 1] for percent in percents]
    assert found == pytest.approx(exact, rel=0.02)
    assert found == sorted(found)


def test_the_usual_figures() -> None:
    latency = recorded(*(n / 1000 for n in range(1, 1001))).summary()
    assert latency.count == 1000
    assert latency.mean_s == pytest.approx(0.5005)
    assert (latency.p50_s, latency.p90_s, latency.p99_s) == pytest.approx((0.5, 0.9, 0.99), rel=0.02)
    assert latency.max_s == 1.0


def test_nothing_recorded_is_all_zero() -> None:
    assert Histogram().summary() == Latency()
    assert Histogram().percentiles(50, 99) == [0.0, 0.0]


def test_zero_negative_and_tiny_durations_count_as_zero() -> None:
    histogram = recorded(0.0, -1.0, 1e-9, 1.0)
    assert histogram.percentiles(50, 75, 100) == pytest.approx([0.0, 0.0, 1.0], rel=0.02)
    assert histogram.summary().count == 4


def test_what_is_out_of_range_counts_at_its_end() -> None:
    latency = recorded(1.0, 1e9).summary()
    assert latency.max_s == 1e9
    assert latency.p99_s > 100_000


def test_a_single_value_is_never_overstated() -> None:
    for value in (0.001, 0.3, 7.7, 1234.5):
        latency = recorded(value).summary()
        assert latency.p50_s <= value
        assert latency.p50_s == latency.p99_s


def test_what_was_recorded_counts_whenever_it_is_asked_for() -> None:
    histogram = Histogram()
    for number in range(1, 1201):
        histogram.record(number / 1000)
        assert histogram.count == number
        if number % 299 == 0:
            assert histogram.max_s == number / 1000
            assert histogram.summary().mean_s == pytest.approx((number + 1) / 2000)
