"""``outbox``: results that are unsent or were refused, while no node runs on them."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

app = typer.Typer(help="Results that are unsent or were refused for good.", no_args_is_help=True)

JobArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Job ids, as 'outbox list' shows them.")
]
DeadOption = Annotated[bool, typer.Option("--dead", help="All dead letters.")]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Show what waits to be sent, and what was refused for good or has expired."""
    from node.cli.outbox import list_outbox

    with failures_told():
        list_outbox(flags({"state_dir": state_dir}, assignments), config, profile, as_json=as_json)


@app.command()
def retry(
    jobs: JobArgument = None,
    dead: DeadOption = False,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Make dead letters unsent again, so that the next run sends them."""
    from node.cli.outbox import retry_dead

    with failures_told():
        retry_dead(flags({"state_dir": state_dir}, assignments), config, profile, jobs or [], everything=dead)


@app.command()
def drop(
    jobs: JobArgument = None,
    dead: DeadOption = False,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Remove results or dead letters for good."""
    from node.cli.outbox import drop_results

    with failures_told():
        drop_results(flags({"state_dir": state_dir}, assignments), config, profile, jobs or [], everything_dead=dead)
