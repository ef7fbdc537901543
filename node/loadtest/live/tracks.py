"""Series cut into blocks of cells that travel one by one, so that a long history never holds the event loop up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from node.loadtest.figures.buckets import COARSE
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice

PERCENTS: Final = (50.0, 95.0, 99.0)

CELLS: Final = 64
"""The most cells of a block."""

TAIL: Final = 5
"""Cells at the end that may still change, and are sent again."""

RATES: Final = (Count.OFFERED, Count.SUBMITTED, Count.CLAIMED, Count.ACCEPTED)

Row: TypeAlias = list[float | None]
Rows: TypeAlias = dict[str, Row]


class Latencies:
    """Percentiles of slices in seconds, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Measure, int], tuple[Slice, tuple[float, ...]]] = {}
        self._resolution_s = 0

    def rows(self, series: Series, measure: Measure, cells: slice) -> Rows:
        """A row for each of `PERCENTS`, named as ``poll.p99``."""
        if self._resolution_s != series.resolution_s:
            self._resolution_s = series.resolution_s
            self._known.clear()
        found = [
            None if one is None else self._percentiles((measure, at), one)
            for at, one in zip(series.span[cells], series.slices(measure)[cells], strict=True)
        ]
        return {
            f"{measure}.p{percent:g}": [None if three is None else three[place] for three in found]
            for place, percent in enumerate(PERCENTS)
        }

    def _percentiles(self, key: tuple[Measure, int], one: Slice) -> tuple[float, ...]:
        known = self._known.get(key)
        if known is None or known[0] is not one:
            known = self._known[key] = (one, percentiles_s(one))
        return known[1]


def percentiles_s(one: Slice, percents: Sequence[float] = PERCENTS) -> tuple[float, ...]:
    """`Slice.percentile_s` for several rising percentages in one pass over its buckets; empty without values."""
    counts = one.counts()
    total = sum(counts.values())
    ranks = [max(1.0, percent * total / 100 - 1e-9) for percent in percents]
    found: list[float] = []
    seen = 0
    for index, count in counts.items():
        seen += count
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(round(COARSE.middle(index) / 1e6, 7))
    return tuple(found)


def measured_rows(latencies: Latencies) -> Callable[[Series, slice], Rows]:
    """What is drawn of `node.loadtest.figures.figures.Figures.series`."""

    def rows(series: Series, cells: slice) -> Rows:
        names = set(series.names)
        read = _read(series, names, cells)
        drawn: Rows = {
            str(name): [
                round(rate, 3) if rate or is_read else None
                for rate, is_read in zip(series.rates(name)[cells], read, strict=True)
            ]
            for name in RATES
        }
        for measure in Measure:
            if measure in names and measure is not Measure.LATENESS:
                drawn |= latencies.rows(series, measure, cells)
        return drawn

    return rows


def _read(series: Series, names: set[str], cells: slice) -> list[bool]:
    """Where a second fell between the cells of two readings it was not without jobs: it was not read."""
    if _ALWAYS_READ not in names:
        return [True] * len(series.span[cells])
    return [level is not None for level in series.levels(_ALWAYS_READ)[cells]]


_ALWAYS_READ: Final = "in_flight"


def standing_rows(series: Series, cells: slice) -> Rows:
    """What is drawn of `node.loadtest.live.trail.Trail`: all of it."""
    rows = {name: series.maxima(name) if name == "lag_s" else series.levels(name) for name in series.names}
    return {name: [None if one is None else round(one, 4) for one in row[cells]] for name, row in rows.items()}


class Place:
    """How far a reader has been told of one track."""

    def __init__(self) -> None:
        self._of: tuple[int, int] | None = None
        self._until = 0

    def spans(self, track: Track, *, is_over: bool) -> Iterator[tuple[int, int]]:
        """What it has not been told yet, the `TAIL` again: spans of `CELLS` at most, for `Track.block`, one after another.

        Each is to be sent before the next is asked for.
        """
        series = track.series()
        of = _identity(series)
        if of is None:
            return
        if self._of != of:
            self._of, self._until = of, series.span.start
        at = max(series.span.start, self._until - TAIL * series.resolution_s)
        # What is still being filled would show as a dip.
        end = series.span.stop - (series.resolution_s if series.resolution_s > 1 and not is_over else 0)
        # While a span was sent the series may have become another.
        while at < end and _identity(track.series()) == of:
            self._until = min(end, at + CELLS * series.resolution_s)
            yield at, self._until
            at = self._until


def _identity(series: Series) -> tuple[int, int] | None:
    """Changes when cells are joined, and everything has to be told anew."""
    return (series.resolution_s, series.span.start) if series.span else None


class Track:
    """A series that grows, by the name under which it is sent."""

    def __init__(self, name: str, series: Callable[[], Series], rows: Callable[[Series, slice], Rows]) -> None:
        self.name = name
        self.series = series
        self._rows = rows

    def block(self, at: int, until: int) -> Mapping[str, object]:
        """The cells that begin at ``at`` or later and before ``until``, Unix seconds; ``first`` is the first of all."""
        series = self.series()
        first, step = series.span.start, series.resolution_s
        cells = slice((at - first) // step, (until - first) // step)
        return {"track": self.name, "first": first, "step": step, "at": at, "rows": self._rows(series, cells)}
