"""A simulation as a person meets it: from options to the closing table and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from node.app.display import Display
from node.app.event_loop import new_event_loop
from node.app.plan import FleetPlan, plan_fleet
from node.app.simulation import Simulation
from node.app.summary import Outcome, summarize
from node.app.telemetry import redactor_for
from node.cli.closing import closing_lines, closing_table, exit_code, places
from node.cli.dashboard import Dashboard
from node.cli.exit_codes import ExitCode
from node.cli.output import OutputConsole, open_output
from node.cli.plain import PlainDisplay, json_line
from node.cli.written_file import check_writable, write_file
from node.settings.load import load


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What was asked for on the command line.

    ``flags`` are settings by their dotted names. ``duration_s`` None runs until a signal, ``seed`` None draws another
    one each time, ``summary`` None writes no file.
    """

    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    duration_s: float | None
    seed: int | None
    summary: Path | None
    dashboard: bool


def run_simulation(options: SimulationOptions) -> ExitCode:
    """Run it, print how it ended, and return the exit code that says so; see `node.cli.closing.exit_code`.

    Raises:
        NodeError: it could not be started; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(
        config_file=options.config_file, profile=options.profile, flags=options.flags, environ=os.environ, cwd=cwd
    )
    plan = plan_fleet(loaded, cwd, options.seed)
    check_writable(options.summary, "--summary")
    redactor = redactor_for(plan.secrets())
    loss = open_output(redactor.redact, "the simulation")
    console = OutputConsole(highlight=False)
    live = options.dashboard and console.is_terminal
    display: Display = Dashboard(console, options.duration_s) if live else PlainDisplay(console, plan.settings)
    _greet(display, plan)
    simulation = Simulation(
        plan,
        cwd,
        display,
        redactor,
        exit_code_at_third_signal=ExitCode.INTERRUPTED,
        duration_s=options.duration_s,
        console=None if live else sys.stderr,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        outcome = runner.run(simulation.run())
    if options.summary is not None:
        write_file(options.summary, json.dumps(summarize(outcome), indent=2) + "\n")
    _close(console, outcome, plan)
    return loss.exit_code(exit_code(outcome))


def _greet(display: Display, plan: FleetPlan) -> None:
    for fault in plan.warnings:
        display.say(f"Left out: {fault}")
    where = "simulated nodes (there is no roster)" if plan.simulated_roster else "nodes"
    accounts = len({spec.identity.account_id for spec in plan.nodes})
    display.say(f"{len(plan.nodes)} {where} over {accounts} accounts; {places(plan.state_dir, plan.log_folder)}.")


def _close(console: Console, outcome: Outcome, plan: FleetPlan) -> None:
    if plan.settings.logging.json_lines:
        console.print(json_line("summary", **summarize(outcome)), markup=False, soft_wrap=True)
        return
    console.print(closing_table(outcome))
    for line in closing_lines(outcome, plan.state_dir, plan.log_folder):
        console.print(line, markup=False, soft_wrap=True)
