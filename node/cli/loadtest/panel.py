"""What the live screen of a load test shows, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node.cli.loadtest.pace import PERCENTS, TIMED, Pace, Second
from node.cli.loadtest.sparkline import sparkline
from node.domain.presence import Presence
from node.loadtest.driver.run import Phase
from node.loadtest.figures.health import HealthLimits
from node.loadtest.figures.recorder import CRASHED
from node.loadtest.live.watched import Standing, WatchedRun
from node.loadtest.plan.quantities import duration_text

_MARGIN: Final = 2
"""Lines that are left free: for the cursor, and the last that was said."""

_MOST_MARKS: Final = 100
_MOST_ERRORS: Final = 3

_PHASES: Final = {
    Phase.WAITING: "waiting for its start",
    Phase.LOAD: "load",
    Phase.SETTLING: "settling: open jobs are awaited",
    Phase.LEAVING: "the nodes leave",
    Phase.OVER: "over: what the gateway has is asked for and judged",
}

_STYLES: Final = {
    Presence.PROCESSING.value: "green",
    Presence.IDLE.value: "cyan",
    Presence.CHECKING.value: "cyan",
    Presence.BACKING_OFF.value: "yellow",
    Presence.PAUSED.value: "yellow",
    Presence.DRAINING.value: "yellow",
    Presence.ERROR.value: "red",
    CRASHED: "red",
}


def panel(run: WatchedRun, pace: Pace, width: int, height: int) -> list[RenderableType]:
    """Lines that fit a terminal of this size; on a low one the less important are left out."""
    standing = run.standing
    left = height - _MARGIN
    parts: list[list[RenderableType]] = []
    for lines in (
        [_title(run), _progress(standing, width)],
        [_nodes(standing), _jobs(standing), _generator(standing), *_errors(run)],
        list(_charts(pace.seconds, width)),
        [_mark(*mark) for mark in reversed(pace.marks[-_MOST_MARKS:])],
    ):
        fitting = lines[: max(0, left)]
        left -= len(fitting)
        if fitting:
            parts.append([*fitting])
    # What is left over sets the parts apart.
    for place in range(min(left, len(parts) - 1), 0, -1):
        parts[place].insert(0, Text())
    return [line for part in parts for line in part]


def _line() -> Text:
    return Text(overflow="ellipsis", no_wrap=True)


def _title(run: WatchedRun) -> Text:
    hint = "Ctrl+C ends the load" if run.standing.phase in {Phase.WAITING, Phase.LOAD} else "Ctrl+C ends it sooner"
    return _line().append(run.plan.name, "bold").append(f"  {run.gateway}").append(f"  {hint}", "dim")


def _progress(standing: Standing, width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    at_s = min(max(0.0, standing.elapsed_s), standing.duration_s)
    words = Text("paused", "bold yellow") if standing.is_paused else Text(_PHASES[standing.phase])
    if standing.phase is not Phase.LOAD:
        return Text.assemble(words, no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(total=max(standing.duration_s, 1e-9), completed=at_s)
    left = duration_text(round(standing.duration_s - at_s))
    times = f"{duration_text(round(at_s))} of {duration_text(standing.duration_s)}"
    grid.add_row(words, bar, Text(f"{times}, {left} left" if width >= 60 else times))
    return grid


def _nodes(standing: Standing) -> Text:
    text = _line().append(f"nodes  {standing.nodes:,} of {standing.planned_nodes:,}", "bold")
    for state, nodes in sorted(standing.states.items(), key=lambda item: -item[1]):
        text.append("  ").append(f"{nodes:,} {state}", _STYLES.get(state, ""))
    return text


def _jobs(standing: Standing) -> Text:
    text = _line().append(f"jobs   {standing.accepted:,} of {standing.submitted:,} done", "bold")
    text.append(f"  {standing.queued:,} queued  {standing.working:,} working  {standing.in_flight:,} being submitted")
    if standing.outbox:
        text.append(f"  {standing.outbox:,} unsent", "yellow")
    return text


def _generator(standing: Standing) -> Text:
    limits = HealthLimits()
    text = _line().append("self   ", "bold").append("event loop ")
    text.append(f"{_seconds(standing.lag_s)} late", "red" if standing.lag_s > limits.loop_lag_s else "")
    text.append("  CPU ").append(f"{standing.cpu:.0%}", "red" if standing.cpu > limits.cpu_share else "")
    return text


def _errors(run: WatchedRun) -> list[RenderableType]:
    found = run.figures.errors.most_common()
    if not found:
        return []
    text = _line().append(f"errors {sum(times for _, times in found):,}", "bold red")
    for name, times in found[:_MOST_ERRORS]:
        text.append(f"  {times:,} × {name}", "red")
    return [text]


def _charts(seconds: Sequence[Second], width: int) -> Iterator[Text]:
    """A line a figure: its name, its value of the last second, and how it was before."""
    top = max((max(one.offered_per_s, one.accepted_per_s) for one in seconds), default=0.0)
    rates = {
        "offered/s": ([one.offered_per_s for one in seconds], "cyan"),
        "accepted/s": ([one.accepted_per_s for one in seconds], "green"),
    }
    for name, (values, style) in rates.items():
        yield _chart(name, f"{values[-1]:,.1f}" if values else "–", values, style, width, top)
    for name in TIMED:
        for percent in PERCENTS:
            times = [one.latencies_s[name, percent] for one in seconds]
            last = times[-1] if times else None
            label = f"{name} p{percent:g}"
            yield _chart(label, "–" if last is None else _seconds(last), times, "magenta", width)


_NAME_WIDTH: Final = 11
_VALUE_WIDTH: Final = 9


def _chart(
    name: str, value: str, values: Sequence[float | None], style: str, width: int, top: float | None = None
) -> Text:
    line = _line().append(f"{name:<{_NAME_WIDTH}}").append(f"{value:>{_VALUE_WIDTH}}", "bold").append("  ")
    return line.append(sparkline(values, width - _NAME_WIDTH - _VALUE_WIDTH - 2, top), style)


def _mark(at_s: float, words: str) -> Text:
    return _line().append(f"{duration_text(round(max(0.0, at_s))):>7}  ", "dim").append(words, "yellow")


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
