"""``status``, ``pause``, ``resume``, ``drain``: a node that runs on this machine, watched and steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

if TYPE_CHECKING:
    from node.app.control import Order

NodeOption: TypeAlias = Annotated[
    str, typer.Option("--node", metavar="ID", help="Which node, where several run here on one state folder.")
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
    from node.cli.steering import Reach, show_status

    with failures_told():
        show_status(Reach(flags({"state_dir": state_dir}, assignments), config, profile, node_id), as_json=as_json)


def ordering(order: Order) -> Callable[..., None]:
    """The command that gives an order; each has the same options."""

    def give(
        node_id: NodeOption = "",
        state_dir: StateDirOption = None,
        config: ConfigOption = None,
        profile: ProfileOption = None,
        assignments: SetOption = None,
    ) -> None:
        from node.cli.steering import Reach, give_order

        with failures_told():
            give_order(order, Reach(flags({"state_dir": state_dir}, assignments), config, profile, node_id))

    return give
