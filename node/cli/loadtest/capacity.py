"""The search for a gateway's capacity as a person meets it: a line a step, then the knee."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from node.app.event_loop import new_event_loop
from node.app.loadtest.capacity import CapacityTest
from node.app.loadtest.capacity_result import CapacityOrder, CapacityResult, Find, Step
from node.app.loadtest.load_test import told
from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.knee import knee_parts, step_cells, step_head
from node.cli.loadtest.lines import at_text
from node.cli.output import OutputConsole, open_output
from node.cli.written_file import check_writable, write_file
from node.domain.errors import InputFault, InvalidInput
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.live.watched import WatchedRun
from node.loadtest.plan.quantities import duration_text, rate_text
from node.loadtest.plan.scaling import Load
from node.manager.shutdown import ShutdownSignals
from node.settings.load import load


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """What was asked for on the command line; ``document`` is the file to write the steps to, None for none."""

    order: LoadTestOrder
    search: CapacityOrder
    sandbox_rate_per_s: float | None
    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    document: Path | None


def run_capacity(options: CapacityOptions) -> ExitCode:
    """Search, print each step and the knee, and return the exit code that says what was found.

    Raises:
        NodeError: it could not be started; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(
        config_file=options.config_file, profile=options.profile, flags=options.flags, environ=os.environ, cwd=cwd
    )
    plan = plan_load_test(options.order, loaded, cwd)
    if options.sandbox_rate_per_s is not None and not plan.uses_sandbox:
        problem, remedy = "the bundled sandbox alone can be throttled", "leave it or the gateway out"
        raise InvalidInput([InputFault("--sandbox-rate", problem, remedy)])
    check_writable(options.document, "--json")
    redactor = redactor_for(plan.secrets())
    loss = open_output(redactor.redact, "the search")
    console = OutputConsole(highlight=False)
    if plan.scenario.plan.faults:
        console.print("The faults of the plan are left out: each step is one steady load.", soft_wrap=True)
    display = StepLines(console, options.search.find)
    test = CapacityTest(
        plan,
        options.search,
        display,
        redactor,
        told(display),
        DriverPolicy(),
        options.sandbox_rate_per_s,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            result = runner.run(_until_signals(test))
        finally:
            display.leave()
    if options.document is not None:
        text = redactor.redact(json.dumps(result.to_document(), indent=1) + "\n")
        write_file(options.document, text)
    for part in knee_parts(result, console.width):
        console.print(part)
    return loss.exit_code(exit_code(result))


async def _until_signals(test: CapacityTest) -> CapacityResult:
    with ShutdownSignals(test.orders.stop, test.orders.abort, ExitCode.INTERRUPTED):
        return await test.run()


def exit_code(result: CapacityResult) -> ExitCode:
    """Whether a load was found that is met; what keeps the lowest from it where none is; or that it was stopped."""
    knee = result.knee
    if result.is_stopped:
        return ExitCode.INTERRUPTED if result.is_aborted else ExitCode.STOPPED
    if knee.under is not None and knee.is_found:
        return ExitCode.OK
    if knee.under is not None:
        return ExitCode.THRESHOLDS
    if knee.is_void:
        return ExitCode.VOID
    is_broken = result.broke_first is not None and result.broke_first.verdict is Verdict.BROKEN
    return ExitCode.AUDIT if is_broken else ExitCode.THRESHOLDS


class StepLines:
    """A `node.app.loadtest.capacity_search.CapacityDisplay` of a line a step; on a terminal the step under way is the last."""

    def __init__(self, console: Console, find: Find) -> None:
        self._console = console
        self._find = find
        self._live: Live | None = None
        self._now = ""

    def say(self, text: str) -> None:
        """See `LoadDisplay.say`; what every step says in the same words is left out."""
        if not text.startswith("Asking"):
            self._console.print(text, markup=False, soft_wrap=True)

    def begin_step(self, number: int, load: Load) -> None:
        """See `CapacityDisplay.begin_step`."""
        if number == 1:
            self._console.print(Text(step_head(self._find), style="bold"), soft_wrap=True)
        self._now = f"step {number}: {rate_text(load.jobs_per_s)} with {load.nodes} nodes"
        if self._console.is_terminal and self._live is None:
            self._live = Live(Text(self._now), console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    async def begin(self, run: WatchedRun) -> None:
        """See `LoadDisplay.begin`."""
        run.on_tick(lambda: self._tick(run))

    def end_step(self, step: Step) -> None:
        """See `CapacityDisplay.end_step`."""
        line = Text(step_cells(step))
        if step.outcome.is_met:
            line.append("met", "green")
        elif step.outcome.is_void:
            line.append(f"void: {step.outcome.reason}", "yellow")
        else:
            line.append(step.outcome.reason, "red")
        self._console.print(line, soft_wrap=True)

    def leave(self) -> None:
        """See `LoadDisplay.leave`."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _tick(self, run: WatchedRun) -> None:
        if self._live is None:
            return
        standing = run.standing
        line = (
            f"{self._now}, {at_text(standing)} of {duration_text(standing.duration_s)}, {standing.phase.value}:"
            f" {standing.submitted} submitted, {standing.accepted} accepted"
        )
        self._live.update(Text(line, style="dim", no_wrap=True, overflow="ellipsis"), refresh=True)
