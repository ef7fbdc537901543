"""Options that several of the commands have."""

from __future__ import annotations

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
SandboxFaultOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--sandbox-fault",
        metavar="NAME=SHARE",
        help="Plant a bug into the bundled gateway, to see it caught; may be repeated.",
        rich_help_panel="Sandbox",
    ),
]
