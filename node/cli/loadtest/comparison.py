"""A run against earlier ones, for the terminal: a table, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from node.app.loadtest.comparison import Compared, RunDocument, compare_runs, read_run, run_of
from node.cli.exit_codes import ExitCode
from node.cli.output import open_output
from node.cli.written_file import check_writable, write_file
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.figures.compare import Answer, Comparison
from node.loadtest.plan.quantities import duration_text, rate_text
from node.settings.text_file import display_path

_STYLES: Final = {Answer.BETTER: "green", Answer.WORSE: "red", Answer.SAME: "", Answer.UNKNOWN: "yellow"}
_UNKNOWN: Final = "–"
_CONFIDENCE: Final = 0.99
"""See `node.loadtest.figures.compare.compare`: for all metrics together."""

_SENTENCES: Final = {
    Answer.WORSE: "worse than the baseline",
    Answer.BETTER: "better than the baseline",
    Answer.SAME: "no difference was seen",
    Answer.UNKNOWN: "nothing could be compared",
}


@dataclass(frozen=True, slots=True)
class Baselines:
    """What a run is to be compared with, and whether it fails where it is worse. Without ``runs`` nothing is compared."""

    runs: tuple[RunDocument, ...] = ()
    fail_on_worse: bool = False

    def against(self, outcome: LoadOutcome) -> Compared | None:
        """The comparison with a run that has just ended."""
        return compare_runs(self.runs, run_of(outcome)) if self.runs else None

    def exit_code(self, compared: Compared | None, otherwise: ExitCode) -> ExitCode:
        """That of the run ``otherwise``, which counts where it is not good already."""
        is_failed = self.fail_on_worse and compared is not None and compared.answer is Answer.WORSE
        return ExitCode.THRESHOLDS if is_failed and otherwise is ExitCode.OK else otherwise


def read_runs(paths: Sequence[Path]) -> tuple[RunDocument, ...]:
    """The runs in these files, named as people would.

    Raises:
        InvalidInput: see `node.app.loadtest.comparison.read_run`.
    """
    return tuple(read_run(path, display_path(path, Path.cwd())) for path in paths)


def run_comparison(
    baseline: Sequence[Path], candidate: Path, document: Path | None, *, fail_on_worse: bool
) -> ExitCode:
    """Compare runs that are over, print what that comes to, and return the exit code that says so.

    Raises:
        InvalidInput: a file cannot be used.
        StorageError: the disk does not take ``document``.
    """
    check_writable(document, "--json")
    *earlier, now = read_runs([*baseline, candidate])
    compared = compare_runs(earlier, now)
    code = Baselines(tuple(earlier), fail_on_worse).exit_code(compared, ExitCode.OK)
    if document is not None:
        write_file(document, json.dumps(compared.to_document(), indent=1) + "\n")
    loss = open_output(str, "the comparison")
    console = Console(highlight=False)
    for part in comparison_parts(compared):
        console.print(part)
    return loss.exit_code(code)


def comparison_parts(compared: Compared) -> Iterator[RenderableType]:
    """The parts, in order."""
    *baseline, now = compared.names
    yield Text(f"{now} against {', '.join(baseline)}", style="bold")
    for warning in compared.warnings:
        yield Text(f"Warning: {warning}", "yellow")
    if compared.comparisons:
        yield _Metrics(compared)
    yield Text(f"Comparison: {_SENTENCES[compared.answer]}", style=f"bold {_STYLES[compared.answer]}".strip())


def answer_text(comparison: Comparison) -> str:
    """What a metric came to; a sameness that so much noise allows is none."""
    match comparison.answer:
        case Answer.UNKNOWN:
            return "too little data"
        case Answer.SAME if not comparison.is_sharp:
            return "too noisy to tell"
        case Answer.SAME:
            return "the same"
        case answer:
            return str(answer.value)


@dataclass(frozen=True, slots=True)
class _Metrics:
    """A row a metric; where a terminal is too narrow for that, a sentence a metric: no figure is ever cut off."""

    compared: Compared

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _table(self.compared)
        if console.measure(table, options=options.update(width=_WIDE, max_width=_WIDE)).maximum <= options.max_width:
            yield table
            return
        for one in self.compared.comparisons:
            now, before = (_figure(one.metric, value) for value in (one.candidate, one.baseline))
            change, interval = _change(one)
            told = f"{now}, was {before}, {change} ± {interval}: " if interval else ""
            yield Text(f"{one.metric}: {told}").append(answer_text(one), _STYLES[one.answer])


_WIDE: Final = 1000
"""Columns that are enough for any table."""


def _table(compared: Compared) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Metric", no_wrap=True)
    for name in ("Baseline", "Now", "Change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"± at {_CONFIDENCE:.0%}", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in compared.comparisons:
        cells = (one.metric, _figure(one.metric, one.baseline), _figure(one.metric, one.candidate), *_change(one))
        table.add_row(*cells, Text(answer_text(one), _STYLES[one.answer]))
    return table


def _figure(metric: str, value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    found = float(f"{value:.3g}")
    return rate_text(found) if metric.endswith("_rate") else duration_text(found)


def _change(comparison: Comparison) -> tuple[str, str]:
    if comparison.change is None or comparison.high is None:
        return _UNKNOWN, ""
    return f"{comparison.change:+.1%}", f"{comparison.high - comparison.change:.1%}"
