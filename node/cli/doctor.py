"""The doctor as a person meets it: a line for each thing that was looked at, and what to do."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.app.doctor.examine import examine, faults_found
from node.app.doctor.findings import Finding, as_json
from node.app.event_loop import new_event_loop
from node.app.production_plan import ProductionPlan, read_production
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.output import OutputConsole, mask_output
from node.cli.production import USUAL_PROFILE
from node.domain.errors import InputFault, InvalidInput
from node.machine.probe import gpu_sources, probe_hardware
from node.runtime.system import SystemClock
from node.settings.load import load

_STYLES: Final = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def run_doctor(
    flags: Mapping[str, object], config: Path | None, profile: str | None, *, node: str, claim: bool, as_json: bool
) -> ExitCode:
    """Examine, print, and return the exit code: OK, or UNFIT when anything failed. Problems are told, never raised."""
    console = OutputConsole(highlight=False)
    report = Report(None if as_json else console)
    cwd = Path.cwd()
    try:
        loaded = load(
            config_file=config, profile=profile, flags=flags, environ=os.environ, cwd=cwd, usual_profile=USUAL_PROFILE
        )
    except InvalidInput as error:
        for finding in faults_found(error.faults):
            report.add(finding)
    else:
        plan, faults = read_production(loaded, cwd, probe_hardware(gpu_sources()), node=node, claim=claim)
        mask_output(redactor_for(plan.secrets()).redact)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_examine(plan, faults, report))
    report.close(console)
    return ExitCode.UNFIT if report.has_failed else ExitCode.OK


async def _examine(plan: ProductionPlan, faults: Sequence[InputFault], report: Report) -> None:
    async for finding in examine(plan, SystemClock(), faults):
        report.add(finding)


class Report:
    """Findings as they come: printed at once, or as one JSON document in the end where ``console`` is None."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._findings: list[Finding] = []

    @property
    def has_failed(self) -> bool:
        """Whether anything keeps a node from working."""
        return any(finding.status == "fail" for finding in self._findings)

    def add(self, finding: Finding) -> None:
        """Take one up, and print it where that is not kept for the end."""
        self._findings.append(finding)
        if self._console is None:
            return
        if self._console.is_terminal:
            self._console.print(_row(finding))
            return
        # In a file nothing is broken into lines, so that it can be searched.
        self._console.print(f"{finding.status:<4}  {finding.name:<8}  {finding.detail}", markup=False, soft_wrap=True)
        if finding.remedy:
            self._console.print(f"{'':<16}{finding.remedy}", markup=False, soft_wrap=True)

    def close(self, console: Console) -> None:
        """Print the end: the verdict, or all of it as JSON."""
        if self._console is None:
            console.print(json.dumps(as_json(self._findings), indent=2), markup=False, soft_wrap=True)
            return
        counts = {grade: sum(1 for finding in self._findings if finding.status == grade) for grade in _STYLES}
        verdict = "a node cannot work here yet" if counts["fail"] else "a node can work here"
        told = ", ".join(f"{count} {grade}" for grade, count in counts.items())
        self._console.print(f"{told}: {verdict}.")


def _row(finding: Finding) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=4)
    row.add_column(width=8)
    row.add_column(overflow="fold")
    row.add_row(Text(finding.status, _STYLES[finding.status]), Text(finding.name), Text(finding.detail))
    if finding.remedy:
        row.add_row("", "", Text(finding.remedy, style="dim"))
    return row
