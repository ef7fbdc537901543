"""What came of a run, as people and programs read it: a table, a JSON file, the table of docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.figures import Figure, Goal, Kind, Spread, number
from benchmarks.machine import Machine
from benchmarks.suite import Took
from benchmarks.where import PARTS

SCHEMA: Final = 1
"""The version of the JSON file; it grows when something is renamed or goes."""

BEGIN: Final = "<!-- figures: begin (python -m benchmarks --write-docs) -->"
END: Final = "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    machine: Machine
    quick: bool
    took: Sequence[Took]
    figures: Sequence[Figure]

    @property
    def missed(self) -> list[Figure]:
        """Those that do not reach their goals."""
        return [figure for figure in self.figures if figure.is_met is False]


def as_json(report: Report) -> dict[str, Any]:
    """The report as it is kept.

    ``figures`` has everything by the figure's full name; beside it each group is an object of its own with the bare
    values, so that ``node_loop.ratio_vs_locust_fast`` is a path. What was not measured is null, and says why.
    """
    values: dict[str, Any] = {}
    for figure in report.figures:
        *groups, name = figure.kind.name.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = None if figure.spread is None else round(figure.spread.median, 4)
    return {
        "schema": SCHEMA,
        "quick": report.quick,
        "machine": asdict(report.machine),
        "took": [asdict(took) for took in report.took],
        "figures": {figure.kind.name: _entry(figure) for figure in report.figures},
        **values,
    }


def _entry(figure: Figure) -> dict[str, Any]:
    kind, spread = figure.kind, figure.spread
    entry: dict[str, Any] = {"what": kind.what, "unit": kind.unit, "detail": kind.is_detail}
    entry["value"] = None if spread is None else round(spread.median, 4)
    entry["spread"] = None if spread is None else {name: round(value, 4) for name, value in asdict(spread).items()}
    entry["goal"] = None if kind.goal is None else asdict(kind.goal)
    entry["met"] = figure.is_met
    if spread is None:
        entry["missing"] = figure.missing
    return entry


def from_json(told: Any) -> Report:
    """The report of such a file.

    Raises:
        ValueError: it is of another version.
    """
    schema = told.get("schema") if isinstance(told, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"these are no figures of schema {SCHEMA}: schema {schema}")
    figures = []
    for name, entry in told["figures"].items():
        goal = None if entry["goal"] is None else Goal(**entry["goal"])
        kind = Kind(name, entry["what"], entry["unit"], goal, is_detail=entry["detail"])
        spread = None if entry["spread"] is None else Spread(**entry["spread"])
        figures.append(Figure(kind, spread, entry.get("missing", "")))
    return Report(Machine(**told["machine"]), told["quick"], [Took(**took) for took in told["took"]], figures)


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    short = [_row(figure) for figure in report.figures if not figure.kind.is_detail]
    _print_table(console, "Figures", ["figure", "value", "middle half", "goal", ""], short)
    _print_table(console, "Requests", ["who, when", "users", "µs of CPU", "middle half", "1/s"], list(_costs(report)))
    _print_table(console, "Where a request's time goes", ["µs of CPU", "with jobs", "empty"], list(_where(report)))
    for line in _facts(report):
        console.print(line, markup=False, highlight=False)


def _print_table(console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if 0 < place < 3 else "left")
    for cells in rows:
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def markdown(report: Report) -> str:
    """The tables as they stand in the documentation."""
    lines = [f"{line}  " for line in _facts(report)]
    lines += ["", "| figure | value | middle half | goal | met |", "|---|---:|---:|---:|---|"]
    for figure in report.figures:
        if not figure.kind.is_detail:
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in _row(figure)) + " |")
    lines += [
        "",
        "| who makes the requests | users | µs of CPU | middle half | requests/s |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in _costs(report)]
    lines += ["", "| where a request's time goes, µs of CPU | with jobs | empty polls |", "|---|---:|---:|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in _where(report)]
    return "\n".join(lines) + "\n"


def write_docs(report: Report, page: Path) -> None:
    """Put the tables between the markers of a page.

    Raises:
        ValueError: the page has no such markers.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no markers for the figures")
    # What is kept is rounded: the page shows what whoever reads that would see.
    kept = from_json(as_json(report))
    page.write_text(f"{before}{BEGIN}\n{markdown(kept)}{END}{after}")


def write_json(report: Report, file: Path) -> None:
    """Keep the report."""
    file.write_text(json.dumps(as_json(report), indent=2, ensure_ascii=False) + "\n")


def _row(figure: Figure) -> list[str]:
    kind, spread = figure.kind, figure.spread
    goal = str(kind.goal or "")
    if spread is None:
        return [kind.what, "missing", figure.missing, goal, ""]
    met = {True: "met", False: "MISSED", None: ""}[figure.is_met]
    return [kind.what, f"{number(spread.median)} {kind.unit}", _half(spread), goal, met]


def _half(spread: Spread) -> str:
    return "" if spread.n == 1 else f"{number(spread.p25)} – {number(spread.p75)}, n {spread.n}"


def _costs(report: Report) -> Iterator[list[str]]:
    """A row for everybody who made requests, load by load."""
    by_name = {figure.kind.name: figure for figure in report.figures}
    for name, cost in by_name.items():
        if not (name.startswith("requests.") and name.endswith(".cpu_us")):
            continue
        rate = by_name[name.removesuffix("cpu_us") + "per_s"]
        who = cost.kind.what.removeprefix("CPU of a request: ")
        what, users, load = who.rsplit(", ", 2)
        count = users.removesuffix(" users")
        if cost.spread is None or rate.spread is None:
            yield [f"{load}: {what}", count, "missing", cost.missing, ""]
        else:
            shown = number(cost.spread.median), _half(cost.spread), number(rate.spread.median)
            yield [f"{load}: {what}", count, *shown]


def _where(report: Report) -> Iterator[list[str]]:
    """A row for each part of a request."""
    by_name = {figure.kind.name: figure for figure in report.figures}
    for part, says in PARTS.items():
        figures = [by_name.get(f"where.{load}.{part}_us") for load in ("jobs", "polls")]
        spreads = [None if figure is None else figure.spread for figure in figures]
        if any(figures):
            yield [says, *("missing" if spread is None else number(spread.median) for spread in spreads)]


def _facts(report: Report) -> list[str]:
    machine = report.machine
    versions = ", ".join(f"{name} {value or '– missing'}" for name, value in machine.versions.items())
    others = [took.others_cores for took in report.took]
    busy = f"others took up to {max(others):g} cores meanwhile" if others else "nothing was run"
    run, minutes = "a short run" if report.quick else "a whole run", sum(took.seconds for took in report.took) / 60
    return [
        f"{machine.date}, {run}, {minutes:.1f} minutes, {busy}",
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.kernel}, Python {machine.python}",
        versions,
    ]
