"""What a load test came to, for the terminal: short, and no figure that is not meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from node.loadtest.audit.report import AuditVerdict, Finding
from node.loadtest.driver.judged import errors, tries
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.histogram import Histogram
from node.loadtest.plan.quantities import duration_text, rate_text, share_text
from node.loadtest.thresholds.threshold import State
from node.loadtest.thresholds.vocabulary import STEPS

_ROWS: Final = (
    ("register", Measure.REGISTER),
    ("poll, with a job", Measure.POLL),
    ("poll, without", Measure.EMPTY_POLL),
    ("poll, failed", Measure.FAILED_POLL),
    ("result", Measure.RESULT),
    ("submit", Measure.SUBMIT),
    ("submit, failed", Measure.FAILED_SUBMIT),
    ("token renewed", Measure.RENEWAL),
    ("job: until claimed", Measure.CLAIM),
    ("job: claimed to accepted", Measure.WORK),
    ("job: until accepted", Measure.JOB),
    ("job: crash to redelivery", Measure.REDELIVERY),
)

_STYLES: Final = {State.PASSED: "green", State.FAILED: "red", State.UNKNOWN: "yellow"}
_AUDIT_STYLES: Final = {
    AuditVerdict.CLEAN: "green",
    AuditVerdict.BROKEN: "red",
    AuditVerdict.UNKNOWN: "yellow",
    AuditVerdict.EMPTY: "yellow",
}
_SIGNS: Final = {State.PASSED: "✓", State.FAILED: "✗", State.UNKNOWN: "?"}

_VERDICTS: Final = {
    Verdict.PASSED: ("green", "passed"),
    Verdict.STOPPED: ("yellow", "stopped before its time: not judged"),
    Verdict.FAILED: ("red", "failed: not every threshold is met"),
    Verdict.VOID: ("yellow", "void: the generator fell short, so the figures say nothing of the gateway"),
    Verdict.BROKEN: ("red", "failed: the audit found something wrong with jobs"),
}


def summary(outcome: LoadOutcome) -> Iterator[RenderableType]:
    """The parts, in order."""
    yield Text()
    yield Text(f"{outcome.plan.name}: {duration_text(round(_load_s(outcome), 1))} of load on {outcome.gateway}", "bold")
    yield _jobs(outcome)
    yield Text()
    yield _Latencies(outcome)
    if outcome.figures.errors.most_common():
        yield Text()
        yield from _errors(outcome)
    yield Text()
    yield from _audit(outcome)
    if outcome.outcomes:
        yield Text()
        for found in outcome.outcomes:
            yield Text(f"{_SIGNS[found.state]} {found}", _STYLES[found.state])
    yield Text()
    yield from _ending(outcome)


def _load_s(outcome: LoadOutcome) -> float:
    return outcome.times.load_ended_at - outcome.times.begun_at


def _jobs(outcome: LoadOutcome) -> Table:
    grid = Table.grid(padding=(0, 2))
    jobs, values = outcome.report.jobs, outcome.values
    told = {"offered": "offered", "accepted": "accepted_rate", "polls": "poll_rate"}
    rates = ", ".join(f"{name} {rate_text(round(values[of] or 0.0, 1))}" for name, of in told.items())
    answered = "unknown" if jobs.answered is None else str(jobs.answered)
    grid.add_row(Text("judged", "dim"), Text(f"{outcome.stretch.rule}"))
    grid.add_row(Text("rates", "dim"), Text(rates))
    grid.add_row(
        Text("jobs", "dim"),
        Text(
            f"{jobs.submitted} submitted, {jobs.claimed} claimed, {jobs.redelivered} times redelivered,"
            f" {jobs.accepted} accepted, {answered} have a result"
        ),
    )
    return grid


@dataclass(frozen=True, slots=True)
class _Latencies:
    """A row a measure; where a terminal is too narrow for that, a paragraph a measure: no figure is ever cut off."""

    outcome: LoadOutcome

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = [(name, self.outcome.histograms[measure]) for name, measure in _ROWS]
        rows = [(name, list(_cells(histogram))) for name, histogram in told if histogram.count]
        if options.max_width < _NARROW:
            yield Text(_TIMED, "bold")
            for name, cells in rows:
                yield Text(f"{name}: {', '.join(f'{head} {cell}' for head, cell in zip(_HEADS, cells, strict=True))}")
            return
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(_TIMED)
        for head in _HEADS:
            table.add_column(head, justify="right", no_wrap=True)
        for name, cells in rows:
            table.add_row(name, *cells)
        yield table


_TIMED: Final = "Time, from when it was due"
_HEADS: Final = ("count", "p50", "p95", "p99", "max")
_NARROW: Final = 64


def _cells(histogram: Histogram) -> Iterator[str]:
    yield str(histogram.count)
    for seconds in histogram.percentiles_s(50, 95, 99, 100):
        yield f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _errors(outcome: LoadOutcome) -> Iterator[Text]:
    shares = ((step, errors(outcome.figures, step), tries(outcome.figures, step)) for step in STEPS)
    told = [f"{step} {failed} of {tried} ({share_text(failed / tried)})" for step, failed, tried in shares if failed]
    yield Text(f"Failed: {', '.join(told or ('none of ' + ', '.join(STEPS),))}", "bold")
    found = outcome.figures.errors.most_common()
    if found:
        yield Text("Errors met, those of attempts that were made again included:")
    for name, times in found[:_MOST_ERRORS]:
        yield Text(f"  {times} × {name}")
    if len(found) > _MOST_ERRORS:
        yield Text(f"  and {len(found) - _MOST_ERRORS} kinds more")


_MOST_ERRORS: Final = 8


def _audit(outcome: LoadOutcome) -> Iterator[Text]:
    report = outcome.report
    style = _AUDIT_STYLES[report.verdict]
    is_empty = report.verdict is AuditVerdict.EMPTY
    none = [_named(finding) for finding in report.findings if finding.count == 0 and (finding.judged or not is_empty)]
    unknown = [_named(finding) for finding in report.findings if finding.count is None]
    yield Text(f"Audit: {report.verdict.words}", style=f"bold {style}")
    for finding in report.broken:
        yield Text(f"  {finding.count} {_named(finding)}: {finding.kind.meaning}", "red")
        if finding.examples:
            yield Text(f"    {', '.join(finding.examples[:_MOST_IDS])}")
    if none:
        yield Text(f"  none {', '.join(none)}")
    if unknown and not is_empty:
        yield Text(f"  unknown: {', '.join(unknown)}", "yellow")
    for note in report.notes:
        yield Text(f"  {note}")


_MOST_IDS: Final = 5


def _named(finding: Finding) -> str:
    return finding.kind.label.replace("_", " ")


def _ending(outcome: LoadOutcome) -> Iterator[Text]:
    for note in (*outcome.notes, *(f"a defect of this program: {defect}" for defect in outcome.defects)):
        yield Text(f"Note: {note}", "yellow")
    if outcome.bugs:
        yield Text(f"Planted into the sandbox: {', '.join(outcome.bugs)}", "yellow")
    for reason in outcome.health.reasons:
        yield Text(f"Generator: {reason}", "yellow")
    style, words = _VERDICTS[outcome.verdict]
    yield Text(f"Verdict: {words}", style=f"bold {style}")
