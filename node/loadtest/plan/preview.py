"""What ``--check`` prints of a plan: what it comes to, its phases as a table, nodes and jobs as charts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from node.loadtest.plan.chart import LABEL_WIDTH, area_chart, marks, time_axis
from node.loadtest.plan.model import Engine, Plan
from node.loadtest.plan.phases import Phase, phases
from node.loadtest.plan.quantities import duration_text, number_text, rate_text
from node.loadtest.plan.scenario import Scenario, Schedule

_MOST_ROWS: Final = 40
_MOST_CHART_WIDTH: Final = 100


class Preview:
    """A scenario for people, as wide as the console; from 50 columns on nothing is cut."""

    def __init__(self, scenario: Scenario) -> None:
        self._plan = scenario.plan
        self._schedule = Schedule(scenario)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        plan = self._plan
        yield Text(plan.name, style="bold")
        if plan.description:
            yield Text(" ".join(plan.description.split()))
        yield Text()
        yield self._facts()
        yield Text()
        yield self._phases()
        yield Text()
        yield from self._charts(min(options.max_width, _MOST_CHART_WIDTH) - LABEL_WIDTH)
        if plan.thresholds:
            yield Text()
            yield Text("It passes when", style="bold")
            for threshold in plan.thresholds:
                yield Text(f"  {threshold}")

    def _facts(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for name, text in facts(self._plan, self._schedule):
            grid.add_row(Text(name, style="dim"), Text(text))
        return grid

    def _phases(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
        table.add_column("When", no_wrap=True)
        table.add_column("Nodes", no_wrap=True)
        table.add_column("Jobs/s", no_wrap=True)
        table.add_column("What happens", overflow="fold")
        found = list(phases(self._schedule))
        for phase in found[:_MOST_ROWS]:
            table.add_row(*_row(phase))
        if len(found) > _MOST_ROWS:
            table.add_row("…", "", "", f"and {len(found) - _MOST_ROWS} phases more")
        return table

    def _charts(self, width: int) -> Iterator[Text]:
        duration_s = self._plan.duration_s
        edges = [duration_s * column / width for column in range(width + 1)]
        spans = list(itertools.pairwise(edges))
        population = self._schedule.population
        nodes = [float(max(population.target(at_s) for at_s in _looks(span, population.breaks))) for span in spans]
        jobs = [self._schedule.jobs.expected(*span) / (span[1] - span[0]) for span in spans]
        yield from _chart("Nodes", nodes, "cyan")
        if any(jobs):
            yield from _chart("Jobs/s", jobs, "green")
        if self._schedule.faults:
            yield Text(marks((event.at_s for event in self._schedule.faults), duration_s, width), style="red")
        yield Text(time_axis(width, "0s", duration_text(duration_s / 2), duration_text(duration_s)), style="dim")


def facts(plan: Plan, schedule: Schedule) -> Iterator[tuple[str, str]]:
    """What a plan comes to: names, and texts with their units."""
    sandbox_s = duration_text(plan.sandbox.lease_s)
    gateway_s = "not known" if plan.gateway.lease_s is None else duration_text(plan.gateway.lease_s)
    settle_s = duration_text(plan.settling_s(on_sandbox=True))
    jobs = schedule.jobs.expected(0.0, plan.duration_s)
    slots = f", {plan.nodes.slots} slots each" if plan.nodes.slots > 1 else ""
    yield "takes", f"{duration_text(plan.duration_s)}, then up to {settle_s} to settle"
    yield "nodes", f"{schedule.population.peak} at most{slots}, a poll every {duration_text(plan.nodes.poll_cycle_s)}"
    yield "jobs", f"about {number_text(round(jobs))}, {rate_text(jobs / plan.duration_s)} on average"
    if isinstance(plan.engine, Engine):
        yield "engine", f"about {duration_text(float(f'{plan.engine.mean_s:.2g}'))} a job"
    else:
        yield "engine", "the real one"
    yield "lease", f"{sandbox_s} in the sandbox; of another gateway {gateway_s}"
    yield (
        "warm-up",
        "found by rule" if plan.warm_up_s is None else duration_text(plan.warm_up_s) if plan.warm_up_s else "none",
    )
    yield "seed", str(plan.seed)


def _row(phase: Phase) -> tuple[str, str, str, str]:
    when = f"{duration_text(phase.from_s)} – {duration_text(phase.to_s)}"
    jobs = _change(*map(number_text, phase.jobs_per_s))
    if phase.other_per_s:
        trace = f"~{number_text(phase.other_per_s)} of traces"
        jobs = trace if jobs == "0" else f"{jobs} + {trace}"
    return when, _change(*map(str, phase.nodes)), jobs, "\n".join(phase.events)


def _change(begin: str, end: str) -> str:
    return begin if begin == end else f"{begin} → {end}"


def _looks(span: tuple[float, float], breaks: tuple[float, ...]) -> Iterator[float]:
    """Times within a column at which a short spike is not overlooked."""
    yield (span[0] + span[1]) / 2
    yield from (at_s for at_s in breaks if span[0] <= at_s < span[1])


def _chart(title: str, values: list[float], style: str) -> Iterator[Text]:
    yield Text(title, style="bold")
    for line in area_chart(values, (number_text(float(f"{max(values):.3g}")), "0")):
        yield Text(line, style=style)
