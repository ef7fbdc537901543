"""What a search for capacity found, for the terminal: its steps, a table, charts, and a sentence."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from node.app.loadtest.capacity_result import CapacityResult, Find, Step, probed
from node.loadtest.plan.chart import LABEL_WIDTH, area_chart, marks, time_axis
from node.loadtest.plan.quantities import duration_text, number_text, rate_text

_MOST_WIDTH: Final = 100
_WIDTHS: Final = (4, 10, 7, 10, 10, 9)
_UNKNOWN: Final = "–"
_KNEE: Final = " ◀ knee"
_NARROW: Final = 70
"""Columns below which the table may not fit."""


def step_head(find: Find) -> str:
    """The line above those of the steps."""
    timed = "p99 job" if find is Find.JOBS else "p99 poll"
    return _line(("step", "load", "nodes", "offered", "accepted", timed)) + "verdict"


def step_cells(step: Step) -> str:
    """A step's line up to its verdict."""
    return _line((str(step.number), *_figures(step)))


def knee_parts(result: CapacityResult, width: int) -> Iterator[RenderableType]:
    """The parts, in order."""
    if result.steps:
        yield Text()
        yield from _loads(result, width)
        yield Text()
        yield from _charts(result, min(width, _MOST_WIDTH) - LABEL_WIDTH)
    yield Text()
    yield from _ending(result)


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True)) + "  "


def _figures(step: Step) -> tuple[str, str, str, str, str]:
    def rate(found: float | None) -> str:
        return _UNKNOWN if found is None else rate_text(round(found, 1))

    p99 = _UNKNOWN if step.p99_s is None else duration_text(float(f"{step.p99_s:.3g}"))
    return rate_text(step.load.jobs_per_s), str(step.load.nodes), rate(step.offered), rate(step.accepted), p99


def _by_load(result: CapacityResult) -> dict[float, list[Step]]:
    found: dict[float, list[Step]] = {}
    for step in sorted(result.steps, key=lambda one: probed(one, result.order)):
        found.setdefault(probed(step, result.order), []).append(step)
    return found


def _telling(steps: Sequence[Step]) -> Sequence[Step]:
    """Those that say something of the gateway, or all where none does."""
    return [step for step in steps if not step.outcome.is_void] or steps


def _loads(result: CapacityResult, width: int) -> Iterator[RenderableType]:
    """A row a load; where a terminal is too narrow for that, a sentence a load: no figure is ever cut off."""
    timed = "p99 job" if result.order.find is Find.JOBS else "p99 poll"
    rows = [
        (*_figures(_telling(steps)[-1]), _met(steps), load == result.knee.under)
        for load, steps in _by_load(result).items()
    ]
    if width < _NARROW:
        for load, nodes, offered, accepted, p99, met, is_knee in rows:
            told = f"{load}, {nodes} nodes: {offered} offered, {accepted} accepted, {timed} {p99}, met {met}"
            yield Text(f"{told}{_KNEE if is_knee else ''}", "bold" if is_knee else "")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Load", "Nodes", "Offered", "Accepted", timed, "Met"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for *cells, is_knee in rows:
        table.add_row(*map(str, cells), _KNEE if is_knee else "", style="bold" if is_knee else None)
    yield table


def _met(steps: Sequence[Step]) -> str:
    """How often a load was met, of the steps that tell it."""
    told = [step.outcome.is_met for step in steps if not step.outcome.is_void]
    voids = f"{len(steps) - len(told)} void" if len(told) < len(steps) else ""
    return ", ".join(filter(None, [f"{sum(told)} of {len(told)}" if told else "", voids]))


def _charts(result: CapacityResult, width: int) -> Iterator[Text]:
    groups = _by_load(result)
    loads = list(groups)
    top = loads[-1]
    columns = [top * (column + 0.5) / width for column in range(width)]
    telling = [_telling(steps) for steps in groups.values()]
    done = [fmean([step.outcome.done or 0.0 for step in steps]) for steps in telling]
    p99s = [fmean([1e3 * (step.p99_s or 0.0) for step in steps]) for steps in telling]
    unit = "jobs/s" if result.order.find is Find.JOBS else "nodes"
    title = "Accepted jobs/s" if result.order.find is Find.JOBS else "Nodes whose jobs are done"
    yield Text(f"{title}, by the load in {unit}", style="bold")
    yield from _chart([_between(column, [0.0, *loads], [0.0, *done]) for column in columns], "green")
    yield Text("p99 in ms, by the load", style="bold")
    yield from _chart([_between(column, loads, p99s) for column in columns], "cyan")
    if result.knee.under is not None:
        yield Text(marks([result.knee.under], top, width), style="bold")
    yield Text(time_axis(width, "0", number_text(top / 2), number_text(top)), style="dim")


def _chart(values: list[float], style: str) -> Iterator[Text]:
    for line in area_chart(values, (number_text(float(f"{max(values):.3g}")), "0"), height=3):
        yield Text(line, style=style)


def _between(at: float, places: Sequence[float], values: Sequence[float]) -> float:
    """The value at a place on the straight lines through what is known, level beyond its ends."""
    right = bisect_left(places, at)
    if right in (0, len(places)):
        return values[min(right, len(places) - 1)]
    left = right - 1
    share = (at - places[left]) / (places[right] - places[left])
    return values[left] + share * (values[right] - values[left])


def _ending(result: CapacityResult) -> Iterator[Text]:
    yield _sentence(result)
    first = result.broke_first
    if first is not None:
        yield Text("What was the bottleneck:" if first.outcome.is_void else "What broke first:")
        for broken in first.broken:
            yield Text(f"  {broken}")
    if result.ended:
        yield Text(f"The search ended early: {result.ended}.", "yellow")


def _sentence(result: CapacityResult) -> Text:
    knee = result.knee
    under, over = (_load_text(load, result.order.find) for load in (knee.under, knee.over))
    if knee.under is None:
        if knee.over is None:
            return Text("Nothing is known yet.", "bold yellow")
        if knee.is_void:
            return Text(f"Void: even at {over} this machine's generator was the bottleneck.", "bold yellow")
        return Text(f"Not even {over} is met.", "bold red")
    if result.limit == "generator":
        return Text(f"At least {under}: at {over} this machine's generator is the bottleneck.", "bold yellow")
    if knee.over is None:
        reason = ": the highest that was asked for is met" if result.limit == "highest" else ""
        return Text(f"At least {under}{reason}.", "bold green")
    if not knee.is_found:
        return Text(f"Between {under}, which is met, and {over}, which is not.", "bold yellow")
    return Text(f"Knee: {under} is met, {over} is not.", "bold green")


def _load_text(load: float | None, find: Find) -> str:
    if load is None:
        return _UNKNOWN
    return rate_text(load) if find is Find.JOBS else f"{load:g} nodes"
