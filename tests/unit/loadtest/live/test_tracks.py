"""Blocks of cells put together by a reader are the series, whatever happens meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.histogram import Tally
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.live.tracks import CELLS, PERCENTS, TAIL, Latencies, Place, Track, measured_rows, percentiles_s
from tests.unit.loadtest.live.known_run import BEGUN_AT, KnownRun


def slice_of(values: Sequence[float]) -> Slice:
    tally = Tally()
    for value in values:
        tally.record(value)
    return Slice.of(tally.counts)


class Reader:
    """Does what the page does with blocks."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.place = Place()
        self.cells: dict[int, dict[str, float | None]] = {}
        self._of: tuple[object, object] | None = None

    def read(self, *, is_over: bool = False) -> list[int]:
        """The lengths of the blocks that came."""
        lengths = []
        for at, until in self.place.spans(self.track, is_over=is_over):
            block = self.track.block(at, until)
            lengths.append(self.take(block))
        return lengths

    def take(self, block: Mapping[str, object]) -> int:
        rows, step = block["rows"], block["step"]
        assert isinstance(rows, dict)
        assert isinstance(step, int)
        if self._of != (block["first"], step):
            self._of = (block["first"], step)
            self.cells.clear()
        start = block["at"]
        assert isinstance(start, int)
        length = max(map(len, rows.values()))
        for cell in range(length):
            self.cells[start + cell * step] = {name: row[cell] for name, row in rows.items()}
        return length

    def row(self, name: str) -> list[float | None]:
        return [self.cells[at].get(name) for at in sorted(self.cells)]


def test_percentiles_are_those_of_the_slice() -> None:
    chance = random.Random(3)
    for size in (1, 2, 3, 19, 20, 100, 1000):
        one = slice_of([chance.lognormvariate(-4, 1) for _ in range(size)])
        assert percentiles_s(one) == pytest.approx([one.percentile_s(percent) for percent in PERCENTS])
    assert percentiles_s(Slice({})) == ()


def track_of(run: KnownRun) -> Track:
    return Track("measured", lambda: run.figures.series, measured_rows(Latencies()))


def test_a_reader_that_follows_is_sent_little_and_knows_all() -> None:
    run = KnownRun()
    reader = Reader(track_of(run))
    assert reader.read() == []
    for second in range(1, 200):
        run.second(second, {Measure.JOB: [second / 1000]})
        assert sum(reader.read()) <= TAIL + 1
    series = run.figures.series
    assert reader.row(Count.OFFERED) == series.rates(Count.OFFERED)
    assert reader.row(f"{Measure.JOB}.p99") == pytest.approx(series.percentiles(Measure.JOB, 99))


def test_a_cell_that_still_changes_is_told_again() -> None:
    run = KnownRun()
    reader = Reader(track_of(run))
    for second in range(1, 20):
        run.second(second, {})
    reader.read()
    # What another process has counted comes some seconds later.
    run.figures.series.count(Count.OFFERED, BEGUN_AT + 16.5, 5)
    run.second(20, {})
    reader.read()
    assert reader.row(Count.OFFERED) == [20] * 16 + [25] + [20] * 3


def test_a_reader_that_comes_late_is_sent_all_in_blocks() -> None:
    run = KnownRun()
    for second in range(1, 200):
        run.second(second, {})
    reader = Reader(track_of(run))
    assert reader.read() == [CELLS, CELLS, CELLS, 199 - 3 * CELLS]
    assert sorted(reader.cells) == list(run.figures.series.span)


def test_cells_that_are_joined_are_told_anew_and_none_before_it_is_whole() -> None:
    run = KnownRun()
    reader = Reader(track_of(run))
    for second in range(1, 1500):
        run.second(second, {Measure.POLL: [0.002, 0.004]})
        if second % 7 == 0:
            reader.read()
            whole = [rate for rate in reader.row(Count.ACCEPTED) if rate is not None]
            assert set(whole) <= {19.0}
    reader.read(is_over=True)
    series = run.figures.series
    assert series.resolution_s == 2
    assert sorted(reader.cells) == list(series.span)
    assert reader.row(f"{Measure.POLL}.p50") == pytest.approx(series.percentiles(Measure.POLL, 50))
    total = sum(rate or 0 for rate in reader.row(Count.OFFERED)) * series.resolution_s
    assert total == run.figures.counts[Count.OFFERED]


def test_what_is_joined_while_it_is_sent_is_begun_again() -> None:
    run = KnownRun()
    for second in range(1, 1024):
        run.second(second, {})
    reader = Reader(track_of(run))
    spans = reader.place.spans(reader.track, is_over=False)
    reader.take(reader.track.block(*next(spans)))
    for second in range(1024, 1100):
        run.second(second, {})
    assert list(spans) == []
    reader.read(is_over=True)
    assert sorted(reader.cells) == list(run.figures.series.span)


def test_a_second_that_was_not_read_is_a_gap_and_one_without_jobs_is_not() -> None:
    series = Series()
    for at in (0, 1, 3):
        series.gauge("in_flight", BEGUN_AT + at, 0)
    series.count(Count.OFFERED, BEGUN_AT, 5)
    rows = measured_rows(Latencies())(series, slice(0, 4))
    assert rows[Count.OFFERED] == [5, 0, None, 0]


def test_what_another_process_adds_later_is_told() -> None:
    series = Series()
    series.latencies(Measure.POLL, BEGUN_AT, slice_of([0.001]))
    latencies = Latencies()
    assert latencies.rows(series, Measure.POLL, slice(0, 1))["poll.p99"] == pytest.approx([0.001], rel=0.02)
    other = Series()
    other.latencies(Measure.POLL, BEGUN_AT, slice_of([1.0]))
    series.merge(other)
    assert latencies.rows(series, Measure.POLL, slice(0, 1))["poll.p99"] == pytest.approx([1.0], rel=0.02)
