"""``node``: one real node in production."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, LogLevelOption, ProfileOption, SetOption, StateDirOption, flags

_IDENTITY = "Identity"


def node(
    node_id: Annotated[
        str,
        typer.Option("--node", metavar="ID", help="Be this row of the roster.", rich_help_panel=_IDENTITY),
    ] = "",
    claim: Annotated[
        bool,
        typer.Option(
            "--claim", help="Be any row of the roster that no other process holds.", rich_help_panel=_IDENTITY
        ),
    ] = False,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="The gateway.")] = None,
    slots: Annotated[int | None, typer.Option(help="Jobs at the same time.", min=0)] = None,
    health_port: Annotated[
        int | None, typer.Option(help="Port of health, metrics and control; 0 for one that is free.", min=0, max=65535)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Work against a sandbox gateway on this machine, with the real engine.")
    ] = False,
    json_logs: Annotated[bool | None, typer.Option("--json-logs", help="Log JSON, an object a line.")] = None,
    state_dir: StateDirOption = None,
    log_level: LogLevelOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Run one node in production: real inference on this machine's engines, until it is told to stop.

    Who it is comes from NODE_ID, NODE_SECRET, ACCOUNT_ID and NODE_PUB_KEY, or from a row of the roster.
    'doctor' looks whether it could work. The first Ctrl+C or SIGTERM drains, the second stops at once.
    """
    from node.cli.production import NodeOptions, run_node

    given: dict[str, object] = {
        "gateway.url": gateway,
        "worker.slots": slots,
        "health.port": health_port,
        "logging.json_lines": json_logs,
        "logging.level": log_level,
        "state_dir": state_dir,
    }
    options = NodeOptions(
        flags=flags(given, assignments),
        config_file=config,
        profile=profile,
        node=node_id,
        claim=claim,
        dry_run=dry_run,
    )
    with failures_told():
        raise typer.Exit(run_node(options))
