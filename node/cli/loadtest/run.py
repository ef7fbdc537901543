"""A load test as a person meets it: from options to the closing tables and the exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from rich.console import Console

from node.app.event_loop import new_event_loop
from node.app.loadtest.comparison import Compared
from node.app.loadtest.load_test import LoadDisplay, LoadTest, told
from node.app.loadtest.plan import LoadTestOrder, LoadTestPlan, plan_load_test
from node.app.loadtest.shards import Shards, own_cores
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.comparison import Baselines, comparison_parts, read_runs
from node.cli.loadtest.document import DocumentFile
from node.cli.loadtest.lines import Lines
from node.cli.loadtest.page import PageOptions, WithPage
from node.cli.loadtest.reports import ReportOptions
from node.cli.loadtest.summary import summary
from node.cli.loadtest.view import View
from node.cli.output import OutputConsole, open_output
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.plan.preview import Preview
from node.loadtest.report.environment import environment
from node.manager.shutdown import ShutdownSignals
from node.observability.redaction import Redactor
from node.settings.load import load

EXIT_CODES: Final[Mapping[Verdict, ExitCode]] = {
    Verdict.PASSED: ExitCode.OK,
    Verdict.STOPPED: ExitCode.STOPPED,
    Verdict.FAILED: ExitCode.THRESHOLDS,
    Verdict.VOID: ExitCode.VOID,
    Verdict.BROKEN: ExitCode.AUDIT,
}

Delivery: TypeAlias = Callable[[LoadOutcome], object]
"""Something that is done with what a run came to. It may block: all else is over by then."""


@dataclass(frozen=True, slots=True)
class LoadTestOptions:
    """What was asked for on the command line.

    ``document`` is the file to write everything to, ``page`` the live page: None for none. Without ``dashboard`` the
    terminal is not drawn on. ``reports`` are what is made of the outcome for others, ``baselines`` documents of earlier
    runs to compare it with.
    """

    order: LoadTestOrder
    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    document: Path | None
    check: bool
    dashboard: bool = True
    page: PageOptions | None = None
    shards: Shards | None = None
    reports: ReportOptions = field(default_factory=ReportOptions)
    baselines: tuple[Path, ...] = ()
    fail_on_worse: bool = False


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
    document = None if options.document is None else DocumentFile.prepared(options.document)
    baselines = Baselines(read_runs(options.baselines), options.fail_on_worse)
    redactor = redactor_for(plan.secrets())
    loss = open_output(redactor.redact, "the load test")
    console = OutputConsole(highlight=False)
    warnings = [*map(str, plan.warnings)]
    if options.shards is not None and (crowd := options.shards.crowd(own_cores(), with_sandbox=plan.uses_sandbox)):
        warnings.append(f"{crowd} take turns: that may void the run")
    for warning in warnings:
        console.print(f"Warning: {warning}", markup=False, soft_wrap=True)
    if options.check:
        console.print(Preview(plan.scenario))
        return loss.exit_code(ExitCode.OK)
    gateway = plan.settings.gateway
    reports = options.reports.opened(ca_file=gateway.ca_file, trust_env=gateway.trust_env_proxies)
    say = partial(console.print, markup=False, soft_wrap=True)
    deliveries: list[Delivery] = [partial(reports.deliver, redact=redactor.redact, say=say)]
    if document is not None:
        deliveries.append(partial(document.write, redact=redactor.redact))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return loss.exit_code(runner.run(_Session(plan, redactor, console, options, deliveries, baselines).run()))


@dataclass(frozen=True, slots=True)
class _Session:
    """One run, and what is shown of it meanwhile and afterwards."""

    plan: LoadTestPlan
    redactor: Redactor
    console: Console
    options: LoadTestOptions
    deliveries: list[Delivery]
    baselines: Baselines

    async def run(self) -> ExitCode:
        display: LoadDisplay = self._display()
        async with AsyncExitStack() as stack:
            page = None
            if self.options.page is not None:
                display = page = WithPage(display, self.options.page, stack)
            orders = told(display)
            test = LoadTest(
                self.plan,
                display,
                self.redactor,
                orders,
                DriverPolicy(),
                waits=page is not None and not page.autostart,
                shards=self.options.shards,
            )
            try:
                with ShutdownSignals(orders.stop, orders.abort, ExitCode.INTERRUPTED):
                    outcome = await test.run()
            finally:
                display.leave()
            if outcome is None:
                return ExitCode.INTERRUPTED
            compared = self.baselines.against(outcome)
            self._tell(outcome, compared)
            if page is not None and not orders.is_stopped and (self.console.is_terminal or not page.autostart):
                await page.linger(ExitCode.INTERRUPTED)
            return self.baselines.exit_code(compared, EXIT_CODES[outcome.verdict])

    def _display(self) -> LoadDisplay:
        # FORCE_COLOR and the like make rich take a file for a terminal, which is none to draw on.
        is_screen = self.console.is_terminal and not self.console.is_dumb_terminal and sys.stdout.isatty()
        return View(self.console) if self.options.dashboard and is_screen else Lines(self.console)

    def _tell(self, outcome: LoadOutcome, compared: Compared | None) -> None:
        comparison = None if compared is None else compared.to_document()
        outcome = replace(outcome, environment=environment(), comparison=comparison)
        for part in summary(outcome):
            self.console.print(part)
        for part in () if compared is None else comparison_parts(compared):
            self.console.print(part)
        for deliver in self.deliveries:
            deliver(outcome)
