"""Which figures of a run are drawn over its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.self_watch import CPU, LAG
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.recorder import CRASHED
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.plan.quantities import duration_text, share_text
from node.loadtest.report.axis import from_zero, powers_of_ten
from node.loadtest.report.markup import Markup, tag
from node.loadtest.report.time_chart import Curve, Look, Moment, Row, TimeChart, Timeline, stacked_most
from node.loadtest.report.wording import amount_text, latency_text, tick_text

MOST_MOMENTS: Final = 60
"""Marks that are drawn; a page with more of them says so."""

_LEAST_S: Final = 1e-4
_MOST_MISSING: Final = 3
"""Seconds over which a level holds that was not read: what is longer is a gap."""
_NODE_STATES: Final = (
    ("running", "running", 1),
    ("starting", "starting", 3),
    ("recovering", "recovering", 2),
    ("draining", "draining", 4),
    (CRASHED, "crashed", 5),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with its heading and a sentence on what it shows."""

    title: str
    caption: str
    chart: Markup


def timeline(outcome: LoadOutcome) -> Timeline:
    """The axis of all charts, in seconds of the plan."""
    series, begun_at = outcome.figures.series, outcome.times.begun_at
    begins = [at - begun_at for at in series.span]
    start, end, cell_s = outcome.stretch.start, outcome.stretch.end, float(series.resolution_s)
    is_there = 0 <= start < end <= len(begins)
    judged = (max(0.0, begins[start]), begins[end - 1] + cell_s) if is_there else None
    moments = [
        Moment(number, max(0.0, mark.at - begun_at), mark.text, _is_end(mark.text))
        for number, mark in enumerate(sorted(series.marks)[:MOST_MOMENTS], start=1)
    ]
    return Timeline(begins, cell_s, judged, moments)


def charts(outcome: LoadOutcome) -> Iterator[Drawn]:
    """All of them, in the order of the page; none where nothing was measured."""
    series = outcome.figures.series
    if not series.span:
        return
    time = timeline(outcome)
    for title, caption, chart in (
        ("Jobs a second", "What the plan meant to be submitted, and the results that the gateway took.", _jobs(series)),
        ("Latency", "Each from the time at which it was due, be that before it could begin.", _latencies(series)),
        ("Nodes", "By what they did.", _nodes(series)),
        ("Jobs on their way", "Waiting for a node, and with one.", _queues(series)),
        ("Failures a second", "Requests that failed, and attempts that were repeated.", _failures(series)),
        (
            "The generator's lag",
            "How late its own work began: polls at the 99th percentile, timers at worst.",
            _lag(series),
        ),
        (
            "The generator's processor time",
            "As a share of one core; a process can hardly use more than one.",
            _cpu(outcome),
        ),
    ):
        if chart is not None:
            yield Drawn(title, caption, chart.drawn(time))


def key_to_moments(outcome: LoadOutcome) -> Markup | None:
    """What the numbers in the charts stand for."""
    moments = timeline(outcome).moments
    if not moments:
        return None
    items = (
        tag("li", tag("b", moment.number), f" at {duration_text(round(moment.at_s, 1))}: ", tag("bdi", moment.text))
        for moment in moments
    )
    left = len(outcome.figures.series.marks) - len(moments)
    return tag("ol", items, tag("li", f"and {left} more, which are not drawn") if left else None, class_="moments")


def _is_end(text: str) -> bool:
    return text.startswith("over: ") or text.endswith("come back")


def _jobs(series: Series) -> TimeChart | None:
    curves = [
        Curve("offered", series.rates(Count.OFFERED), 6, Look.AREA),
        Curve("claimed", series.rates(Count.CLAIMED), 3),
        Curve("accepted", series.rates(Count.ACCEPTED), 1),
    ]
    if Count.ALREADY in series.names:
        curves.append(Curve("sent again", series.rates(Count.ALREADY), 2))
    return _linear("Jobs a second over time", curves)


def _latencies(series: Series) -> TimeChart | None:
    polls = [
        Slice.joined([one for one in both if one is not None])
        for both in zip(series.slices(Measure.POLL), series.slices(Measure.EMPTY_POLL), strict=True)
    ]
    rows: list[tuple[str, int, Sequence[Slice | None]]] = [
        ("poll", 1, [one if one.count else None for one in polls]),
        ("result", 2, series.slices(Measure.RESULT)),
        ("job", 3, series.slices(Measure.JOB)),
    ]
    curves = [
        Curve(f"{name} {label}", [None if one is None else one.percentile_s(percent) for one in row], colour, look)
        for name, colour, row in rows
        for label, percent, look in (("p99", 99.0, Look.LINE), ("p50", 50.0, Look.DASHED))
        if any(row)
    ]
    return _logarithmic("Latency percentiles over time", curves)


def _nodes(series: Series) -> TimeChart | None:
    curves = [
        Curve(name, _levels(series, f"nodes.{state}"), colour, Look.STACK)
        for state, name, colour in _NODE_STATES
        if _is_any(_levels(series, f"nodes.{state}"))
    ]
    if not curves:
        return None
    planned = _levels(series, "nodes.planned")
    most = [*stacked_most([curve.row for curve in curves]), *(value for value in planned if value is not None)]
    curves.append(Curve("planned", planned, 7, Look.DASHED))
    return TimeChart("Nodes by state over time", curves, from_zero(most), amount_text, amount_text)


def _queues(series: Series) -> TimeChart | None:
    first_claims, answered = series.rates(Measure.CLAIM), series.rates(Measure.JOB)
    submitted = series.rates(Count.SUBMITTED)
    step = series.resolution_s
    curves = [
        Curve("waiting", _read(series, "queued") or _difference(submitted, first_claims, step), 2),
        Curve("with a node", _read(series, "working") or _difference(first_claims, answered, step), 1),
        Curve("results to send", _levels(series, "outbox"), 3),
        Curve("submissions in flight", _levels(series, "in_flight"), 4),
    ]
    return _linear("Jobs on their way over time", [curve for curve in curves if _is_any(curve.row)])


def _levels(series: Series, name: str) -> Row:
    """A gauge, kept over seconds that a late tick has left out."""
    row: list[float | None] = []
    missing = 0
    for value in series.levels(name):
        missing = 0 if value is not None else missing + 1
        row.append(row[-1] if 0 < missing <= _MOST_MISSING and row else value)
    return row


def _read(series: Series, name: str) -> Row | None:
    """A gauge, where it was ever read."""
    row = _levels(series, name)
    return row if any(value is not None for value in row) else None


def _difference(come: Sequence[float], gone: Sequence[float], step: int) -> list[float]:
    """How many are there at each cell's end, by how many came and went."""
    there, found = 0.0, []
    for added, left in zip(come, gone, strict=True):
        there += (added - left) * step
        found.append(max(0.0, round(there)))
    return found


def _failures(series: Series) -> TimeChart | None:
    named = (
        ("polls", Count.POLL_FAILED),
        ("submissions", Count.SUBMIT_FAILED),
        ("jobs", Count.FAILED),
        ("results refused", Count.BURIED),
        ("attempts repeated", Count.RETRIED),
        ("submissions dropped", Count.DROPPED),
    )
    rows = [(name, series.rates(count), colour) for colour, (name, count) in enumerate(named, start=1)]
    return _linear("Failures a second over time", [Curve(name, row, colour) for name, row, colour in rows if any(row)])


def _lag(series: Series) -> TimeChart | None:
    curves = [
        Curve("polls", series.percentiles(Measure.LATENESS, 99.0), 1),
        Curve("event loop, at worst", series.maxima(LAG), 2),
    ]
    return _logarithmic("The generator's lag over time", [curve for curve in curves if _is_any(curve.row)])


def _cpu(outcome: LoadOutcome) -> TimeChart | None:
    row = _levels(outcome.figures.series, CPU)
    if not _is_any(row):
        return None
    return TimeChart(
        "Processor time over time", [Curve("in use", row, 1, Look.AREA)], from_zero(_held(row)), share_text, share_text
    )


def _linear(title: str, curves: Sequence[Curve]) -> TimeChart | None:
    if not curves:
        return None
    return TimeChart(title, curves, from_zero(_held(*(curve.row for curve in curves))), amount_text, amount_text)


def _logarithmic(title: str, curves: Sequence[Curve]) -> TimeChart | None:
    if not curves:
        return None
    return TimeChart(
        title, curves, powers_of_ten(_held(*(curve.row for curve in curves)), _LEAST_S), latency_text, tick_text
    )


def _held(*rows: Row) -> list[float]:
    return [value for row in rows for value in row if value is not None]


def _is_any(row: Row) -> bool:
    return any(row)
