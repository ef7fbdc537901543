"""Figures a second over a whole run, in fixed memory.

A cell holds a stretch of ``resolution_s`` seconds, which begins at a multiple of that in Unix time: cells of several
processes and machines fall together, and are merged by adding. When a run outgrows the cells, neighbours are joined and
the resolution is halved; nothing that was counted is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from node.loadtest.figures.slices import Slice

VERSION: Final = 1
MAX_MARKS: Final = 1000
"""Marks that are kept; later ones are dropped."""

V = TypeVar("V")
_Cells: TypeAlias = dict[str, dict[int, V]]
_Level: TypeAlias = tuple[float, int]
"""The sum of what was read, and how often."""


class Mark(NamedTuple):
    """Something to draw on the time axis, as a fault; ``at`` is Unix time in seconds."""

    at: float
    text: str


class Series:
    """Counts, gauges, maxima and latencies by second, and marks.

    Over a cell counts add up, of gauges the mean of its seconds counts, of maxima the highest. Over processes counts
    and gauges add up (nodes, queue depth), and of maxima the highest counts. Names must be few.
    """

    def __init__(self, limit: int = 1024) -> None:
        self.resolution_s = 1
        """Seconds a cell: a power of two."""
        self.marks: list[Mark] = []
        self._limit = max(2, limit)
        self._first: int | None = None
        self._last = 0
        self._counts: _Cells[float] = {}
        self._gauges: _Cells[_Level] = {}
        self._maxima: _Cells[float] = {}
        self._slices: _Cells[Slice] = {}

    def count(self, name: str, at: float, amount: float = 1.0) -> None:
        """Add to a sum; ``at`` is Unix time in seconds, here and below."""
        cell = self._cell(at)
        cells = self._counts.setdefault(name, {})
        cells[cell] = cells.get(cell, 0.0) + amount

    def gauge(self, name: str, at: float, value: float) -> None:
        """Note a level, once a second."""
        cell = self._cell(at)
        cells = self._gauges.setdefault(name, {})
        total, samples = cells.get(cell, (0.0, 0))
        cells[cell] = (total + value, samples + 1)

    def maximum(self, name: str, at: float, value: float) -> None:
        """Keep the highest."""
        cell = self._cell(at)
        cells = self._maxima.setdefault(name, {})
        cells[cell] = max(cells.get(cell, value), value)

    def latencies(self, name: str, at: float, values: Slice) -> None:
        """Add latencies."""
        cell = self._cell(at)
        cells = self._slices.setdefault(name, {})
        cells[cell] = Slice.joined([cells[cell], values]) if cell in cells else values

    def mark(self, mark: Mark) -> None:
        """Add a mark; it does not stretch the time axis."""
        if len(self.marks) < MAX_MARKS:
            self.marks.append(mark)

    @property
    def span(self) -> range:
        """The seconds at which cells begin, from the first to the last that holds anything; empty without any."""
        step = self.resolution_s
        return range(0) if self._first is None else range(self._first * step, (self._last + 1) * step, step)

    @property
    def names(self) -> tuple[str, ...]:
        """All names of counts, gauges, maxima and latencies, in alphabetical order."""
        return tuple(sorted({*self._counts, *self._gauges, *self._maxima, *self._slices}))

    def rates(self, name: str) -> list[float]:
        """A count per second for each cell of `span`; 0 where nothing was counted."""
        cells = self._counts.get(name, {})
        return [cells.get(at // self.resolution_s, 0.0) / self.resolution_s for at in self.span]

    def levels(self, name: str) -> list[float | None]:
        """A gauge for each cell of `span`; None where it was not read."""
        cells = {cell: total / samples for cell, (total, samples) in self._gauges.get(name, {}).items()}
        return self._row(cells)

    def maxima(self, name: str) -> list[float | None]:
        """A maximum for each cell of `span`; None where there is none."""
        return self._row(self._maxima.get(name, {}))

    def slices(self, name: str) -> list[Slice | None]:
        """Latencies for each cell of `span`; None where there are none."""
        return self._row(self._slices.get(name, {}))

    def percentiles(self, name: str, percent: float) -> list[float | None]:
        """A percentile in seconds for each cell of `span`; None where there are no latencies."""
        return [None if values is None else values.percentile_s(percent) for values in self.slices(name)]

    def means(self, name: str) -> list[float | None]:
        """The mean latency in seconds for each cell of `span`; None where there are no latencies."""
        return [None if values is None else values.mean_s for values in self.slices(name)]

    def part(self, from_s: float) -> Series:
        """What the cells hold that begin at ``from_s`` or later and are followed by others; without marks."""
        part = Series(self._limit)
        part.resolution_s = self.resolution_s
        if not self.span:
            return part
        first, last = ceil(from_s / self.resolution_s), self._last
        part._counts = _between(self._counts, first, last)
        part._gauges = _between(self._gauges, first, last)
        part._maxima = _between(self._maxima, first, last)
        part._slices = _between(self._slices, first, last)
        cells = [cell for kind in part._kinds() for named in kind.values() for cell in named]
        part._first, part._last = (min(cells), max(cells)) if cells else (None, 0)
        return part

    def forget(self, name: str) -> None:
        """Drop the count and the latencies of this name."""
        self._counts.pop(name, None)
        self._slices.pop(name, None)

    def merge(self, other: Series) -> None:
        """Add another process's figures, which stay as they are."""
        while self.resolution_s < other.resolution_s:
            self._halve()
        for at in (*other.span[:1], *other.span[-1:]):
            self._cell(at)
        parts = self.resolution_s // other.resolution_s
        _merge(self._counts, _joined(other._counts, parts, _plus), _plus)
        _merge(self._gauges, _joined(other._gauges, parts, _pooled), _summed)
        _merge(self._maxima, _joined(other._maxima, parts, max), max)
        _merge(self._slices, _joined(other._slices, parts, _both), _both)
        self.marks = sorted([*self.marks, *other.marks])[:MAX_MARKS]

    def to_document(self) -> dict[str, Any]:
        """The series for JSON; cells are keyed by the Unix time at which they begin, divided by ``resolution_s``."""
        return {
            "v": VERSION,
            "resolution_s": self.resolution_s,
            "limit": self._limit,
            "counts": {name: _listed(cells, float) for name, cells in self._counts.items()},
            "gauges": {name: _listed(cells, lambda cell: cell[0] / cell[1]) for name, cells in self._gauges.items()},
            "maxima": {name: _listed(cells, float) for name, cells in self._maxima.items()},
            "latencies": {name: _listed(cells, Slice.encode) for name, cells in self._slices.items()},
            "marks": [[mark.at, mark.text] for mark in self.marks],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Series:
        """Read what `to_document` made.

        Raises:
            ValueError: it is of a later version, or not that.
        """
        try:
            if document["v"] != VERSION:
                raise ValueError(f"a series of version {document['v']} is not known")
            series = cls(int(document["limit"]))
            series.resolution_s = int(document["resolution_s"])
            step = series.resolution_s
            series._counts = series._read(document["counts"], float)
            series._gauges = series._read(document["gauges"], lambda value: (float(value), 1))
            series._maxima = series._read(document["maxima"], float)
            series._slices = series._read(document["latencies"], Slice.decode)
            cells = [cell for kind in series._kinds() for named in kind.values() for cell in named]
            for cell in cells:
                series._cell(cell * step)
            series.marks = [Mark(float(at), str(text)) for at, text in document["marks"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no series: {type(error).__name__}") from error
        return series

    def _cell(self, at: float) -> int:
        """The cell of a time; coarsens as long as it would be one too many."""
        while True:
            cell = int(at // self.resolution_s)
            first = cell if self._first is None else min(self._first, cell)
            last = cell if self._first is None else max(self._last, cell)
            if last - first < self._limit:
                self._first, self._last = first, last
                return cell
            self._halve()

    def _halve(self) -> None:
        self.resolution_s *= 2
        if self._first is not None:
            self._first //= 2
            self._last //= 2
        self._counts = _joined(self._counts, 2, _plus)
        self._gauges = _joined(self._gauges, 2, _pooled)
        self._maxima = _joined(self._maxima, 2, max)
        self._slices = _joined(self._slices, 2, _both)

    def _kinds(self) -> tuple[Mapping[str, Mapping[int, object]], ...]:
        return self._counts, self._gauges, self._maxima, self._slices

    def _row(self, cells: Mapping[int, V]) -> list[V | None]:
        return [cells.get(at // self.resolution_s) for at in self.span]

    @staticmethod
    def _read(named: Mapping[str, Iterable[Any]], value: Callable[[Any], V]) -> _Cells[V]:
        return {str(name): {int(cell): value(one) for cell, one in cells} for name, cells in named.items()}


def _between(named: _Cells[V], first: int, end: int) -> _Cells[V]:
    return {name: {cell: cells[cell] for cell in cells if first <= cell < end} for name, cells in named.items()}


def _plus(one: float, two: float) -> float:
    return one + two


def _pooled(one: _Level, two: _Level) -> _Level:
    return one[0] + two[0], one[1] + two[1]


def _summed(one: _Level, two: _Level) -> _Level:
    return one[0] / one[1] + two[0] / two[1], 1


def _both(one: Slice, two: Slice) -> Slice:
    return Slice.joined([one, two])


def _merge(mine: _Cells[V], theirs: _Cells[V], join: Callable[[V, V], V]) -> None:
    for name, cells in theirs.items():
        own = mine.setdefault(name, {})
        for cell, value in cells.items():
            own[cell] = join(own[cell], value) if cell in own else value


def _joined(named: _Cells[V], parts: int, join: Callable[[V, V], V]) -> _Cells[V]:
    """The same with every ``parts`` neighbours put together."""
    whole: _Cells[V] = {}
    for name, cells in named.items():
        joined = whole[name] = {}
        for cell, value in cells.items():
            to = cell // parts
            joined[to] = join(joined[to], value) if to in joined else value
    return whole


def _listed(cells: Mapping[int, V], value: Callable[[V], Any]) -> list[list[Any]]:
    return [[cell, value(one)] for cell, one in sorted(cells.items())]
