"""Options that several of the commands have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

GatewayOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="URL", help="The gateway. Default: a sandbox gateway, started for it.")
]
RosterOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Take the nodes' identities from this roster (CSV). Default: made up.")
]
ApiKeyOption: TypeAlias = Annotated[
    str, typer.Option(help="The developer's key. Default: made up.", envvar="LLM_NODE_API_KEY", show_envvar=True)
]
ExclusiveOption: TypeAlias = Annotated[
    bool, typer.Option("--exclusive", help="Nobody else uses the gateway meanwhile: the audit may tell more.")
]
PlanSetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--plan-set",
        metavar="KEY=VALUE",
        help="A key in place of the plan's, as duration=2m or 'thresholds=[\"p99.poll < 50ms\"]'; may be repeated.",
    ),
]
SandboxFaultOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--sandbox-fault",
        metavar="NAME=SHARE",
        help="Plant a bug into the bundled gateway, to see it caught; may be repeated.",
        rich_help_panel="Sandbox",
    ),
]


def refuse_plan_keys(assignments: Iterable[str] | None) -> None:
    """Say what is meant for keys of the plan that are given as settings."""
    from node.loadtest.plan.model import Plan

    shared = {"gateway", "sandbox"}
    keys = {name for field in Plan.model_fields for name in (field, Plan.short_name(field))} - shared
    for text in assignments or ():
        key = text.partition("=")[0].strip()
        if key.partition(".")[0].partition("[")[0] in keys:
            raise typer.BadParameter(f"{key} is a key of the plan: give it as --plan-set {key}=…", param_hint="--set")
