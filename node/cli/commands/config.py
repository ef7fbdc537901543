"""``config``: what is in effect, and whether it can be used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, flags

app = typer.Typer(help="Show and check the settings.", no_args_is_help=True)


@app.command()
def show(
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Print the settings in effect and where each was written; secrets are masked."""
    from node.settings.load import load
    from node.settings.provenance import effective

    with failures_told():
        loaded = load(
            config_file=config, profile=profile, flags=flags({}, assignments), environ=os.environ, cwd=Path.cwd()
        )
    rows = [row for row in effective(loaded) if row.changed or not changed]
    if as_json:
        entries = [{"name": row.info.name, "value": row.value, "origin": str(row.origin)} for row in rows]
        typer.echo(json.dumps(entries, indent=2))
        return
    width = max((len(row.info.name) for row in rows), default=0)
    value_width = min(40, max((len(row.value) for row in rows), default=0))
    for row in rows:
        typer.echo(f"{row.info.name:<{width}} = {row.value:<{value_width}}  # {row.origin}")


@app.command()
def check(
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Look for mistakes in settings, roster, proxies and prompt files; every one is told."""
    from node.app.plan import plan_fleet
    from node.domain.errors import InvalidInput
    from node.settings.load import load

    with failures_told():
        cwd = Path.cwd()
        loaded = load(config_file=config, profile=profile, flags=flags({}, assignments), environ=os.environ, cwd=cwd)
        plan = plan_fleet(loaded, cwd)
        if plan.warnings:
            raise InvalidInput(plan.warnings)
    file = loaded.config_file or "no settings file"
    typer.echo(
        f"Good: {file}, {len(plan.nodes)} nodes, {len(plan.proxies)} proxies, {len(plan.prompts.prompts)} prompts."
    )
