"""The doctor as a person meets it: a line for each thing that was looked at, and what to do."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from node.app.doctor.examine import examine, faults_found
from node.app.doctor.findings import Finding, as_json
from node.app.event_loop import new_event_loop
from node.app.production_plan import ProductionPlan, plan_production
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.output import OutputConsole, mask_output
from node.cli.production import USUAL_PROFILE
from node.domain.errors import InvalidInput
from node.machine.probe import gpu_sources, probe_hardware
from node.runtime.system import SystemClock
from node.settings.load import load

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def run_doctor(
    flags: Mapping[str, object], config: Path | None, profile: str | None, *, node: str, as_json: bool
) -> ExitCode:
    """Examine, print, and return the exit code: OK, or UNFIT when anything failed. Problems are told, never raised."""
    console = OutputConsole(highlight=False)
    report = _Report(None if as_json else console)
    cwd = Path.cwd()
    try:
        loaded = load(
            config_file=config, profile=profile, flags=flags, environ=os.environ, cwd=cwd, usual_profile=USUAL_PROFILE
        )
        plan = plan_production(loaded, cwd, probe_hardware(gpu_sources()), node=node)
    except InvalidInput as error:
        for finding in faults_found(error):
            report.add(finding)
    else:
        mask_output(redactor_for(plan.secrets()).redact)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_examine(plan, report))
    report.close(console)
    return ExitCode.UNFIT if report.has_failed else ExitCode.OK


async def _examine(plan: ProductionPlan, report: _Report) -> None:
    async for finding in examine(plan, SystemClock()):
        report.add(finding)


class _Report:
    """Findings as they come: printed at once, or as one JSON document in the end where ``console`` is None."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._findings: list[Finding] = []

    @property
    def has_failed(self) -> bool:
        return any(finding.status == "fail" for finding in self._findings)

    def add(self, finding: Finding) -> None:
        self._findings.append(finding)
        if self._console is None:
            return
        head = Text.assemble((f"{finding.status:<4}", _STYLES[finding.status]), f"  {finding.name:<9} {finding.detail}")
        self._console.print(head, soft_wrap=True)
        if finding.remedy:
            self._console.print(Text(f"                {finding.remedy}", style="dim"), soft_wrap=True)

    def close(self, console: Console) -> None:
        if self._console is None:
            console.print(json.dumps(as_json(self._findings), indent=2), markup=False, soft_wrap=True)
            return
        counts = {grade: sum(1 for finding in self._findings if finding.status == grade) for grade in _STYLES}
        self._console.print(", ".join(f"{count} {grade}" for grade, count in counts.items()))
