"""The end of a run: a table, what is left to do, and the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from node.app.summary import Outcome
from node.app.telemetry import LOG_FOLDER
from node.cli.exit_codes import ExitCode
from node.monitors.histogram import Latency


def exit_code(outcome: Outcome) -> ExitCode:
    """How the run is judged: the worst thing counts, which is a job lost, then all refused, then results unsent."""
    if outcome.lost or outcome.view.jobs.unkept:
        return ExitCode.LOST
    if outcome.all_refused:
        return ExitCode.REFUSED
    return ExitCode.UNSENT if outcome.unsent else ExitCode.OK


def closing_table(outcome: Outcome) -> Table:
    """The run's figures."""
    view, jobs = outcome.view, outcome.view.jobs
    table = Table(title=f"{view.total} nodes, {view.uptime_s:.0f} s", title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    by_executor = ", ".join(f"{count} {name}" for name, count in sorted(jobs.by_executor.items())) or "none"
    worked = sum(1 for node in outcome.nodes if node.jobs.succeeded)
    states = ", ".join(f"{count} {life.value}" for life, count in view.by_life.items() if count)
    table.add_row("nodes", f"{states}; {worked} finished jobs")
    table.add_row("jobs", f"{jobs.received} received, {jobs.answered} answered")
    table.add_row("succeeded", f"{jobs.succeeded} ({by_executor})")
    table.add_row("failed", str(jobs.failed))
    table.add_row("accepted", f"{jobs.accepted}; {outcome.unsent} unsent, {outcome.dead} dead")
    table.add_row("lost", "unknown: this gateway shows no ledger" if outcome.lost is None else str(outcome.lost))
    table.add_row("polls", f"{view.polls}, {view.polls_failed} failed; {_latency(view.poll)}")
    table.add_row("lateness", _latency(view.lateness))
    table.add_row("job time", _latency(view.job))
    table.add_row("points", f"{view.points.points:g}")
    return table


def closing_lines(outcome: Outcome, state_dir: Path, logs: Path | None) -> Iterator[str]:
    """What the operator should know or do now; nothing when all is well.

    ``state_dir`` is where the outbox is; ``logs`` None where the logs are in it.
    """
    outbox = f"See 'outbox list --state-dir {shlex.quote(str(state_dir))}'."
    if outcome.all_refused:
        yield "Every node's identity was refused: check id, secret, account and key; 'doctor' tells which is denied."
    if outcome.unsent:
        yield f"{outcome.unsent} finished results are unsent; the next run sends them. {outbox}"
    if outcome.dead:
        yield f"{outcome.dead} results were refused for good. {outbox}"
    if outcome.view.jobs.unkept:
        yield f"{outcome.view.jobs.unkept} results could not be put on disk and are lost: look at the disk of {state_dir}"
    if outcome.view.crashes:
        log = (logs or state_dir / LOG_FOLDER) / "general.log"
        yield f"{outcome.view.crashes} defects of the program were caught; please report {log}"


def places(state_dir: Path, logs: Path | None) -> str:
    """Where a run keeps what outlives it, as the end of a sentence; ``logs`` None where they are with the outbox."""
    return f"logs and outbox are in {state_dir}" if logs is None else f"logs are in {logs}, the outbox in {state_dir}"


def _latency(latency: Latency) -> str:
    if not latency.count:
        return "no figures"
    return f"p50 {latency.p50_s * 1000:.0f} ms, p99 {latency.p99_s * 1000:.0f} ms, max {latency.max_s * 1000:.0f} ms"
