"""Figures a second keep what was counted, in fixed memory, over processes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.figures.buckets import FINE
from node.loadtest.figures.series import MAX_MARKS, Mark, Series
from node.loadtest.figures.slices import Slice

T0 = 1_800_000_000
moments = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 1000)), max_size=60)


def filled(moments: list[tuple[int, int]], limit: int = 32) -> Series:
    series = Series(limit)
    for second, amount in moments:
        at = T0 + second + 0.5
        series.count("jobs", at, amount)
        series.maximum("depth", at, amount)
        series.latencies("poll", at, Slice.of({FINE.index(amount): 2}))
    return series


@given(moments, moments)
def test_nothing_is_lost_by_halving_merging_and_travelling(
    one: list[tuple[int, int]], two: list[tuple[int, int]]
) -> None:
    merged = filled(one)
    other = filled(two, limit=16)
    before = other.to_document()
    merged.merge(Series.from_document(json.loads(json.dumps(before))))
    assert other.to_document() == before
    together = [*one, *two]
    assert sum(merged.rates("jobs")) * merged.resolution_s == sum(amount for _, amount in together)
    assert sum(values.count for values in merged.slices("poll") if values) == 2 * len(together)
    highest = [value for value in merged.maxima("depth") if value is not None]
    assert max(highest, default=0) == max((amount for _, amount in together), default=0)
    assert len(merged.span) <= 32
    assert merged.resolution_s & (merged.resolution_s - 1) == 0


@given(moments, moments)
def test_cells_of_two_processes_fall_together(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    merged = filled(one, limit=512)
    merged.merge(filled(two, limit=512))
    whole = filled([*one, *two], limit=512)
    assert merged.rates("jobs") == whole.rates("jobs")
    assert merged.slices("poll") == whole.slices("poll")
    assert merged.span == whole.span


def test_rows_are_as_long_as_the_span_and_say_what_is_missing() -> None:
    series = Series()
    series.count("jobs", T0 + 0.9, 3)
    series.count("jobs", T0 + 2.0)
    series.gauge("nodes", T0 + 1.5, 10)
    series.gauge("nodes", T0 + 1.7, 20)
    series.latencies("poll", T0 + 1, Slice.of({FINE.index(1000): 1}))
    series.latencies("poll", T0 + 1, Slice.of({FINE.index(3000): 1}))
    assert list(series.span) == [T0, T0 + 1, T0 + 2]
    assert series.rates("jobs") == [3, 0, 1]
    assert series.levels("nodes") == [None, 15, None]
    assert series.maxima("none") == [None, None, None]
    assert series.percentiles("poll", 100) == [None, pytest.approx(0.003, rel=0.01), None]
    assert series.means("poll") == [None, pytest.approx(0.002, rel=0.01), None]
    assert series.names == ("jobs", "nodes", "poll")
    assert list(Series().span) == []


def test_gauges_of_processes_add_up_and_their_seconds_are_averaged() -> None:
    one, two = Series(2), Series(2)
    for series, levels in ((one, (10, 20, 30, 40)), (two, (1, 2, 3, 4))):
        for second, level in enumerate(levels):
            series.gauge("nodes", T0 + second, level)
    assert one.resolution_s == 2
    one.merge(two)
    assert one.levels("nodes") == [16.5, 38.5]


def test_marks_are_kept_in_order_and_bounded() -> None:
    one, two = Series(), Series()
    two.mark(Mark(T0 + 1, "first"))
    one.mark(Mark(T0 + 2, "second"))
    one.merge(two)
    assert [mark.text for mark in Series.from_document(one.to_document()).marks] == ["first", "second"]
    for number in range(2 * MAX_MARKS):
        two.mark(Mark(T0, str(number)))
    assert len(two.marks) == MAX_MARKS


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"counts": 3}, {"marks": [1]}, {"limit": None}, {"latencies": {"a": [[1, "!"]]}}]
)
def test_a_document_that_is_no_series_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Series.from_document(filled([(1, 1)]).to_document() | change)


def test_the_resolution_halves_only_when_a_cell_would_be_too_many() -> None:
    series = Series(2)
    for second, resolution_s in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 4)):
        series.count("jobs", T0 + second)
        assert series.resolution_s == resolution_s
    assert series.rates("jobs") == [1, 0.25]
