"""A node in production as a person meets it: from options to the last line and the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from node.app.display import Display
from node.app.event_loop import new_event_loop
from node.app.production import GatewayAddress, Production
from node.app.production_plan import Claim, ProductionPlan, claim_identity, clipped_job_time, plan_production
from node.app.summary import Outcome, summarize
from node.app.telemetry import redactor_for
from node.app.trial import trial_gateway
from node.cli.closing import closing_lines, exit_code, places
from node.cli.exit_codes import ExitCode
from node.cli.node_display import NodeDisplay
from node.cli.output import OutputConsole, OutputLoss, mask_output
from node.cli.plain import json_line
from node.machine.probe import gpu_sources, probe_hardware
from node.settings.load import load

USUAL_PROFILE: Final = "production"
"""Whose intervals count where no profile is named."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What was asked for on the command line: ``flags`` are settings by their dotted names."""

    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    node: str = ""
    claim: bool = False
    dry_run: bool = False


def run_node(options: NodeOptions) -> ExitCode:
    """Run it until it is told to stop, and return the exit code that says how it ended.

    Raises:
        NodeError: it could not be started; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(
        config_file=options.config_file,
        profile=options.profile,
        flags=options.flags,
        environ=os.environ,
        cwd=cwd,
        usual_profile=USUAL_PROFILE,
    )
    gpus, notes = gpu_sources(), list[str]()
    plan = plan_production(
        *(loaded, cwd, probe_hardware(gpus, on_note=notes.append)),
        node=options.node,
        claim=options.claim,
        dry_run=options.dry_run,
    )
    redactor, loss = redactor_for(plan.secrets()), OutputLoss()
    mask_output(redactor.redact, loss)
    console = OutputConsole(highlight=False)
    display = NodeDisplay(console, plan.settings, loss)
    claim = claim_identity(plan)
    try:
        _greet(display, plan, claim, notes)
        run = Production(
            *(plan, claim, display, redactor, gpus),
            exit_code_at_third_signal=ExitCode.INTERRUPTED,
            console=sys.stderr,
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            outcome = runner.run(_run(run, plan, display))
    finally:
        claim.release()
    _close(console, outcome, plan, claim)
    return exit_code(outcome)


async def _run(run: Production, plan: ProductionPlan, display: Display) -> Outcome:
    async with _gateway(plan, display) as gateway:
        return await run.run(gateway)


@contextlib.asynccontextmanager
async def _gateway(plan: ProductionPlan, display: Display) -> AsyncIterator[GatewayAddress]:
    settings = plan.settings.gateway
    if not plan.is_dry_run:
        yield GatewayAddress(settings.url, settings.effective_auth_url)
        return
    async with trial_gateway(plan, display.say) as url:
        display.say(f"Dry run: a sandbox gateway runs at {url}, and no other is spoken to.")
        yield GatewayAddress(url, url, f"{url}/ip")


def _greet(display: Display, plan: ProductionPlan, claim: Claim, notes: list[str]) -> None:
    for note in [*notes, *map(str, plan.passed_over)]:
        display.say(note)
    machine = plan.hardware
    display.say(
        f"Node {claim.spec.node_id} as worker {plan.worker}: {machine.cpu_cores} cores, {machine.ram_mb:,} MB,"
        f" GPU {machine.gpu}; engines {', '.join(name for name, _, _ in plan.engines.entries)};"
        f" {places(claim.folder, plan.log_folder(claim.spec))}."
    )
    if note := clipped_job_time(plan.settings):
        display.say(f"{note}.")


def _close(console: Console, outcome: Outcome, plan: ProductionPlan, claim: Claim) -> None:
    if plan.settings.logging.json_lines:
        console.print(json_line("summary", **summarize(outcome)), markup=False, soft_wrap=True)
        return
    jobs = outcome.view.jobs
    console.print(
        f"Stopped after {outcome.view.uptime_s:.0f} s: {jobs.received} jobs received, {jobs.succeeded} done,"
        f" {jobs.failed} failed, {jobs.accepted} results accepted, {outcome.unsent} unsent.",
        soft_wrap=True,
    )
    for line in closing_lines(outcome, claim.folder, plan.log_folder(claim.spec)):
        console.print(line, markup=False, soft_wrap=True)
