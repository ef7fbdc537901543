"""A load test as a person meets it: from options to the closing tables and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from node.app.event_loop import new_event_loop
from node.app.loadtest.load_test import LoadTest, Progress
from node.app.loadtest.plan import LoadTestOrder, LoadTestPlan, plan_load_test
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.summary import summary
from node.cli.output import OutputConsole, mask_output
from node.cli.written_file import check_writable
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.plan.preview import Preview
from node.loadtest.plan.quantities import duration_text
from node.settings.load import load

EXIT_CODES: Final[Mapping[Verdict, ExitCode]] = {
    Verdict.PASSED: ExitCode.OK,
    Verdict.STOPPED: ExitCode.STOPPED,
    Verdict.FAILED: ExitCode.THRESHOLDS,
    Verdict.VOID: ExitCode.VOID,
    Verdict.BROKEN: ExitCode.AUDIT,
}


@dataclass(frozen=True, slots=True)
class LoadTestOptions:
    """What was asked for on the command line; ``document`` is the file to write everything to, None for none."""

    order: LoadTestOrder
    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    document: Path | None
    check: bool


def run_load_test(options: LoadTestOptions) -> ExitCode:
    """Run it, print what it came to, and return the exit code that says so.

    Raises:
        NodeError: it could not be started; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(
        config_file=options.config_file, profile=options.profile, flags=options.flags, environ=os.environ, cwd=cwd
    )
    plan = plan_load_test(options.order, loaded, cwd)
    check_writable(options.document, "--json")
    redactor = redactor_for(plan.secrets())
    mask_output(redactor.redact)
    console = OutputConsole(highlight=False)
    for warning in plan.warnings:
        console.print(f"Warning: {warning}", markup=False, soft_wrap=True)
    if options.check:
        console.print(Preview(plan.scenario))
        return ExitCode.OK
    display = _Lines(console, plan)
    test = LoadTest(plan, display, redactor, ExitCode.INTERRUPTED, DriverPolicy())
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        outcome = runner.run(test.run())
    if outcome is None:
        return ExitCode.INTERRUPTED
    if options.document is not None:
        _write(options.document, outcome)
    for part in summary(outcome):
        console.print(part)
    return EXIT_CODES[outcome.verdict]


def _write(path: Path, outcome: LoadOutcome) -> None:
    path.write_text(json.dumps(outcome.to_document(), indent=1) + "\n", encoding="utf-8")


_EVERY: Final = 5
"""Ticks from one line to the next."""


class _Lines:
    """A `node.app.loadtest.load_test.LoadDisplay` of a line now and then."""

    def __init__(self, console: Console, plan: LoadTestPlan) -> None:
        self._console = console
        self._duration_s = plan.scenario.plan.duration_s
        self._ticks = 0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, progress: Progress) -> None:
        self._ticks += 1
        if self._ticks % _EVERY:
            return
        at = duration_text(round(max(0.0, progress.elapsed_s)))
        self.say(
            f"{at} of {duration_text(self._duration_s)}, {progress.phase.value}:"
            f" {progress.nodes} of {progress.planned_nodes} nodes run,"
            f" {progress.submitted} jobs submitted ({progress.submitted_per_s:.0f}/s),"
            f" {progress.accepted} done ({progress.accepted_per_s:.0f}/s), {progress.in_flight} in flight"
        )
