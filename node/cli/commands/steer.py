"""``status``, ``pause``, ``resume``, ``drain``: a node that runs on this machine, watched and steered."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

NodeOption: TypeAlias = Annotated[
    str, typer.Option("--node", metavar="ID", help="Which node, where several run on this state folder.")
]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    node_id: NodeOption = "",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Show what a node in production does, and whether it is ready."""
    from node.cli.steering import show_status

    with failures_told():
        show_status(flags({"state_dir": state_dir}, assignments), config, profile, node=node_id, as_json=as_json)


def pause(
    node_id: NodeOption = "",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Have a node claim no more jobs; those under way go on."""
    from node.cli.steering import give_order

    with failures_told():
        give_order("pause", flags({"state_dir": state_dir}, assignments), config, profile, node=node_id)


def resume(
    node_id: NodeOption = "",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Have a paused node claim jobs again."""
    from node.cli.steering import give_order

    with failures_told():
        give_order("resume", flags({"state_dir": state_dir}, assignments), config, profile, node=node_id)


def drain(
    node_id: NodeOption = "",
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Have a node finish its jobs, leave and end, as the first Ctrl+C does."""
    from node.cli.steering import give_order

    with failures_told():
        give_order("drain", flags({"state_dir": state_dir}, assignments), config, profile, node=node_id)
