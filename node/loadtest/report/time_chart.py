"""Charts over time as SVG: lines, areas and stacks, the judged stretch shaded, marks as vertical lines.

No script draws them and no inline style places them, so that a strict Content-Security-Policy lets them be. What is
drawn stretches with the page in a `<svg>` of its own; what is written stands beside it by percentages, and so keeps
its size on a telephone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Final

from node.loadtest.plan.quantities import duration_text
from node.loadtest.report.axis import Axis, of_time
from node.loadtest.report.markup import Markup, joined, tag

HEIGHT: Final = 170
"""Of the drawing, in pixels."""
_WIDTH: Final = 1000
_BELOW: Final = 20
_ABOVE: Final = 14
_CLOSE: Final = 0.035
"""What two moments must be apart, as a share of the width, to have a number each."""
_CHAR: Final = 0.02
"""A character of such a number, as a share of the width where that is small."""
_MOST_HITS: Final = 180
"""Columns that tell their figures when pointed at."""

Row = Sequence[float | None]


class Look(Enum):
    """How a row is drawn."""

    LINE = "line"
    DASHED = "dashed"
    AREA = "area"
    STACK = "stack"
    """An area on top of those before it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A row with its name; ``colour`` is the number of one in the page's style."""

    name: str
    row: Row
    colour: int
    look: Look = Look.LINE


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, numbered in the order of time; ``is_end`` says that something was over then."""

    number: int
    at_s: float
    text: str
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """The time axis that all charts of a page share: ``begins`` are the times of cells, each of ``cell_s`` seconds.

    ``judged`` is from when to when figures count for the verdict. All are seconds of the plan.
    """

    begins: Sequence[float]
    cell_s: float
    judged: tuple[float, float] | None
    moments: Sequence[Moment]

    @property
    def axis(self) -> Axis:
        """From the first cell, or the plan's beginning, to the end of the last."""
        last = self.begins[-1] + self.cell_s if self.begins else 1.0
        return of_time(min(0.0, self.begins[0] if self.begins else 0.0), last)


@dataclass(frozen=True, slots=True)
class TimeChart:
    """``tell`` writes a figure, ``tick`` one at the axis; ``title`` names the chart for those who do not see it."""

    title: str
    curves: Sequence[Curve]
    axis: Axis
    tell: Callable[[float], str]
    tick: Callable[[float], str]

    def drawn(self, timeline: Timeline) -> Markup:
        """The chart with its legend."""
        rows = _heights(self.curves)
        time = timeline.axis
        drawing = tag(
            "svg",
            joined(_shape(curve, rows[place], self, timeline, time) for place, curve in enumerate(self.curves)),
            class_="drawing",
            viewBox=f"0 0 {_WIDTH} {HEIGHT}",
            preserveAspectRatio="none",
            x=0,
            y=_ABOVE,
            width="100%",
            height=HEIGHT,
        )
        plot = tag(
            "svg",
            tag("title", self.title),
            _shade(timeline, time),
            _grid(self.axis),
            drawing,
            _moments(timeline, time),
            _times(time),
            _hits(self, timeline, time),
            class_="plot",
            role="img",
            height=_ABOVE + HEIGHT + _BELOW,
        )
        return joined(self._legend(), tag("div", _scale(self.axis, self.tick), plot, class_="chart"))

    def _legend(self) -> Markup:
        keys = (
            tag("span", tag("i", class_=f"key c{curve.colour} {curve.look.value}"), curve.name) for curve in self.curves
        )
        return tag("p", keys, class_="legend")


def _heights(curves: Sequence[Curve]) -> list[list[tuple[float, float] | None]]:
    """For each curve its bottom and top in each cell."""
    heights: list[list[tuple[float, float] | None]] = []
    floor: list[float] = []
    for curve in curves:
        if curve.look is Look.STACK:
            floor = floor or [0.0] * len(curve.row)
            top = [below + (value or 0.0) for below, value in zip(floor, curve.row, strict=True)]
            heights.append(list(zip(floor, top, strict=True)))
            floor = top
        else:
            heights.append([None if value is None else (0.0, value) for value in curve.row])
    return heights


def stacked_most(rows: Sequence[Row]) -> list[float]:
    """What rows come to when they are stacked, in each cell."""
    return [sum(value or 0.0 for value in cell) for cell in zip(*rows, strict=True)]


def _shape(
    curve: Curve, cells: list[tuple[float, float] | None], chart: TimeChart, timeline: Timeline, time: Axis
) -> Iterator[Markup]:
    """Its parts: where there is nothing there is a gap."""

    def x(begin: float) -> str:
        return f"{time.place(begin + timeline.cell_s / 2) * _WIDTH:.1f}"

    def y(value: float) -> str:
        return f"{(1 - chart.axis.place(value)) * HEIGHT:.1f}"

    is_filled = curve.look in {Look.AREA, Look.STACK}
    numbered = list(zip(timeline.begins, cells, strict=True))
    for is_there, part in groupby(numbered, key=lambda cell: cell[1] is not None):
        points = [(x(begin), y(cell[0]), y(cell[1])) for begin, cell in part if cell is not None]
        if not is_there:
            continue
        line = " ".join(f"{at},{top}" for at, _, top in points)
        if len(points) == 1:
            # A line of one point is drawn as a dot: its ends are round.
            line = f"{line} {line}"
        if is_filled:
            base = " ".join(f"{at},{bottom}" for at, bottom, _ in reversed(points))
            yield tag("polygon", points=f"{line} {base}", class_=f"fill c{curve.colour}")
        if curve.look is not Look.STACK:
            yield tag("polyline", points=line, class_=f"{curve.look.value} c{curve.colour}")


def _shade(timeline: Timeline, time: Axis) -> Markup | None:
    if timeline.judged is None:
        return None
    begin, end = (time.place(at) for at in timeline.judged)
    return tag("rect", x=_share(begin), y=_ABOVE, width=_share(end - begin), height=HEIGHT, class_="judged")


def _grid(axis: Axis) -> Iterator[Markup]:
    for tick in axis.ticks():
        y = round(_ABOVE + (1 - axis.place(tick)) * HEIGHT, 1)
        yield tag("line", x1=0, x2="100%", y1=y, y2=y, class_="grid")


def _scale(axis: Axis, write: Callable[[float], str]) -> Markup:
    texts = (
        tag("text", write(tick), x=46, y=round(_ABOVE + (1 - axis.place(tick)) * HEIGHT + 4, 1), class_="tick y")
        for tick in axis.ticks()
    )
    return tag("svg", texts, class_="scale", width=50, height=_ABOVE + HEIGHT + _BELOW, aria_hidden="true")


def _times(time: Axis) -> Iterator[Markup]:
    for tick in time.ticks():
        place = time.place(tick)
        side = "start" if place < 0.03 else "end" if place > 0.97 else "middle"
        yield tag(
            "text",
            "0" if tick == 0 else duration_text(tick),
            x=_share(place),
            y=_ABOVE + HEIGHT + 15,
            class_=f"tick {side}",
        )


def _moments(timeline: Timeline, time: Axis) -> Iterator[Markup]:
    """A line for each; those that lie too close together share one, and it has its number where there is room."""
    groups: list[list[Moment]] = []
    for moment in timeline.moments:
        if groups and time.place(moment.at_s) - time.place(groups[-1][0].at_s) < _CLOSE:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    free = -1.0
    for group in groups:
        numbers = [moment.number for moment in group]
        shown = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"
        place = time.place(group[0].at_s)
        half = len(shown) * _CHAR / 2
        is_room, x = place - half >= free, _share(place)
        free = max(free, place + half) if is_room else free
        told = [f"{moment.number}, at {duration_text(round(moment.at_s, 1))}: {moment.text}" for moment in group]
        yield tag(
            "g",
            tag("title", "\n".join(told)),
            tag("line", x1=x, x2=x, y1=_ABOVE, y2=_ABOVE + HEIGHT),
            tag("text", shown, x=x, y=_ABOVE - 3) if is_room else None,
            class_="moment end" if all(moment.is_end for moment in group) else "moment",
        )


def _hits(chart: TimeChart, timeline: Timeline, time: Axis) -> Iterator[Markup]:
    """Columns that tell the figures of their time."""
    every = -(-len(timeline.begins) // _MOST_HITS)
    for place in range(0, len(timeline.begins), every or 1):
        begin = timeline.begins[place]
        last = timeline.begins[min(place + every, len(timeline.begins)) - 1] + timeline.cell_s
        told = [
            f"{curve.name}: {chart.tell(value)}" for curve in chart.curves if (value := curve.row[place]) is not None
        ]
        yield tag(
            "rect",
            tag("title", "\n".join([f"at {duration_text(max(0.0, round(begin, 1)))}", *told])),
            x=_share(time.place(begin)),
            y=_ABOVE,
            width=_share(time.place(last) - time.place(begin)),
            height=HEIGHT,
            class_="hit",
        )


def _share(place: float) -> str:
    return f"{place * 100:.3f}%"
