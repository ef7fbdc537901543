"""The sandbox gateway in the foreground, as a person meets it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import typer

from node.app.event_loop import new_event_loop
from node.app.gateway_server import serve_gateway
from node.app.sandbox import sandbox_policy
from node.cli.exit_codes import ExitCode
from node.cli.output import mask_output
from node.executors.prompts import load_prompts
from node.observability.redaction import Redactor
from node.settings.inputs import prompt_files
from node.settings.load import load


def run_gateway(flags: Mapping[str, object], config_file: Path | None, profile: str | None, seed: int | None) -> None:
    """Run it until SIGINT or SIGTERM; a third signal ends the process with `ExitCode.INTERRUPTED`.

    Raises:
        NodeError: it could not be started; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(config_file=config_file, profile=profile, flags=flags, environ=os.environ, cwd=cwd)
    book, faults = load_prompts(prompt_files(loaded, cwd))
    for fault in faults:
        typer.echo(f"Left out: {fault}", err=True)
    settings = loaded.settings
    policy = sandbox_policy(settings, book, cwd, seed=seed)
    state_dir = (cwd / settings.state_dir).resolve()
    redactor = Redactor()
    mask_output(redactor.redact)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        report_s = settings.fleet.status_report_s
        runner.run(
            serve_gateway(policy, state_dir, typer.echo, redactor.register, report_s, ExitCode.INTERRUPTED),
        )
