"""The plot of percentiles that HdrHistogram is known for: how the tail grows, on an axis on which each nine is as wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from node.loadtest.figures.buckets import FINE
from node.loadtest.figures.histogram import Histogram
from node.loadtest.report.axis import Logarithmic, powers_of_ten
from node.loadtest.report.markup import Markup, joined, tag
from node.loadtest.report.wording import latency_text, tick_text

_WIDTH: Final = 1000
_HEIGHT: Final = 200
_ABOVE: Final = 8
_BELOW: Final = 20
_SHARES: Final = ("50", "90", "99", "99.9", "99.99", "99.999", "99.9999")
_LEAST_S: Final = 1e-4

Points = Sequence[tuple[float, float]]


def percentile_chart(named: Mapping[str, Histogram]) -> Markup | None:
    """A line for each histogram that holds anything; None where none does."""
    held = {name: histogram for name, histogram in named.items() if histogram.count}
    if not held:
        return None
    nines = max(1, min(6, math.ceil(math.log10(max(histogram.count for histogram in held.values())))))
    lines = {name: _points(histogram) for name, histogram in held.items()}
    axis = powers_of_ten((seconds for points in lines.values() for _, seconds in points), _LEAST_S)
    shares = [share for share in _SHARES if _place(float(share) / 100) <= nines + 1e-9]
    plot = tag(
        "svg",
        tag("title", "Latency by percentile"),
        [
            tag("line", x1=0, x2="100%", y1=_y(tick, axis) + _ABOVE, y2=_y(tick, axis) + _ABOVE, class_="grid")
            for tick in axis.ticks()
        ],
        [_upright(share, nines) for share in shares],
        tag(
            "svg",
            [_line(points, number, nines, axis) for number, points in enumerate(lines.values(), start=1)],
            class_="drawing",
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            preserveAspectRatio="none",
            x=0,
            y=_ABOVE,
            width="100%",
            height=_HEIGHT,
        ),
        class_="plot",
        role="img",
        height=_ABOVE + _HEIGHT + _BELOW,
    )
    scale = tag(
        "svg",
        [tag("text", tick_text(tick), x=46, y=_y(tick, axis) + _ABOVE + 4, class_="tick y") for tick in axis.ticks()],
        class_="scale",
        width=50,
        height=_ABOVE + _HEIGHT + _BELOW,
        aria_hidden="true",
    )
    keys = (
        tag("span", tag("i", class_=f"key c{number} line"), f"{name}, max {latency_text(histogram.max_s)}")
        for number, (name, histogram) in enumerate(held.items(), start=1)
    )
    return joined(tag("p", keys, class_="legend"), tag("div", scale, plot, class_="chart"))


def _points(histogram: Histogram) -> Points:
    """The share of values that do not exceed each value, 0 to 1, and the value in seconds."""
    total, seen = histogram.count, 0
    points: list[tuple[float, float]] = []
    for bucket, count in histogram.buckets():
        points.append((seen / total, FINE.highest(bucket) / 1e6))
        seen += count
        points.append((seen / total, FINE.highest(bucket) / 1e6))
    return points


def _place(share: float) -> float:
    """How many nines a share has: 0.9 has one, 0.99 two, one in between a part."""
    return -math.log10(1 - share) if share < 1 else math.inf


def _line(points: Points, number: int, nines: int, axis: Logarithmic) -> Markup:
    drawn: list[str] = []
    for share, seconds in points:
        at = f"{min(_place(share), nines) / nines * _WIDTH:.0f},{_y(seconds, axis)}"
        if not drawn or at != drawn[-1]:
            drawn.append(at)
    return tag("polyline", points=" ".join(drawn), class_=f"line c{number}")


def _upright(share: str, nines: int) -> Markup:
    x = f"{_place(float(share) / 100) / nines * 100:.3f}%"
    is_last = _place(float(share) / 100) > nines - 0.01
    return joined(
        tag("line", x1=x, x2=x, y1=_ABOVE, y2=_ABOVE + _HEIGHT, class_="grid"),
        tag("text", f"p{share}", x=x, y=_ABOVE + _HEIGHT + 15, class_=f"tick {'end' if is_last else 'middle'}"),
    )


def _y(seconds: float, axis: Logarithmic) -> float:
    return round((1 - axis.place(seconds)) * _HEIGHT, 1)
