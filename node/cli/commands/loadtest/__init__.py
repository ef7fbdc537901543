"""``loadtest``: a plan of nodes, jobs and faults against a gateway, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from node.cli.commands.loadtest.capacity import capacity
from node.cli.commands.loadtest.compare import compare
from node.cli.commands.loadtest.run import run
from node.cli.commands.loadtest.shards import merge, shard


class _PlanFirst(TyperGroup):
    """Commands of which ``run`` need not be named: what is no command is its plan or one of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {*self.commands, *ctx.help_option_names}
        if args and (meant := self._meant(args[0])) is not None:
            ctx.fail(f"No such command or plan: {args[0]}. Did you mean {meant}?")
        return super().parse_args(ctx, args if not args or args[0] in own else ["run", *args])

    def _meant(self, text: str) -> str | None:
        """The command that is nearly this, where it is no plan."""
        import difflib

        if text in self.commands or text.startswith("-") or Path(text).suffix or Path(text).exists():
            return None
        return next(iter(difflib.get_close_matches(text, self.commands, 1)), None)


app = typer.Typer(
    cls=_PlanFirst,
    help="Load a gateway as a plan says, and judge it: by its thresholds, and by an audit of every job.",
    epilog="'loadtest PLAN.toml' is short for 'loadtest run PLAN.toml'. Plans to begin with are in config/scenarios/.",
    no_args_is_help=True,
)
for _command in (run, capacity, compare, shard, merge):
    app.command()(_command)
