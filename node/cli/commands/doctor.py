"""``doctor``: whether a node could work here."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    node_id: Annotated[str, typer.Option("--node", metavar="ID", help="Examine this row of the roster.")] = "",
    claim: Annotated[
        bool, typer.Option("--claim", help="Examine the row of the roster that 'node --claim' would take.")
    ] = False,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="The gateway.")] = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Look whether 'node' could work here: settings, disk, port, gateway, clock, secret, identity, proxy, engines, models.

    Nothing is registered and nothing changed; each engine is asked for one token. Exit code 11 when anything failed.
    """
    from node.cli.doctor import run_doctor

    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    with failures_told():
        raise typer.Exit(
            run_doctor(flags(given, assignments), config, profile, node=node_id, claim=claim, as_json=as_json)
        )
