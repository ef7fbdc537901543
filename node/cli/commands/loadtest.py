"""``loadtest``: a plan of nodes, jobs and faults against a gateway, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

_RUN = "This run"


class _PlanFirst(TyperGroup):
    """Commands of which ``run`` need not be named: what is no command is its plan or one of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if not args or args[0] in own else ["run", *args])


app = typer.Typer(
    cls=_PlanFirst,
    help="Load a gateway as a plan says, and judge it: by its thresholds, and by an audit of every job.",
    epilog="'loadtest PLAN.toml' is short for 'loadtest run PLAN.toml'. Plans to begin with are in config/scenarios/.",
    no_args_is_help=True,
)


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What to do: see config/scenarios/.")],
    check: Annotated[bool, typer.Option("--check", help="Show what the plan comes to, and do nothing.")] = False,
    gateway: Annotated[
        str | None, typer.Option(metavar="URL", help="The gateway. Default: a sandbox gateway, started for the run.")
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="Take the nodes' identities from this roster (CSV). Default: made up.")
    ] = None,
    api_key: Annotated[
        str, typer.Option(help="The developer's key. Default: made up.", envvar="LLM_NODE_API_KEY", show_envvar=True)
    ] = "",
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive", help="Nobody else uses the gateway meanwhile: the audit may tell more.", rich_help_panel=_RUN
        ),
    ] = False,
    document: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything measured as JSON.", rich_help_panel=_RUN),
    ] = None,
    sandbox_faults: Annotated[
        list[str] | None,
        typer.Option(
            "--sandbox-fault",
            metavar="NAME=SHARE",
            help="Plant a bug into the bundled gateway, to see it caught; may be repeated.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Load a gateway as a plan says, and judge it: by its thresholds, and by an audit of every job.

    The first Ctrl+C ends the load and tells what there is, the second ends everything. Exit codes: 0 passed,
    12 a threshold was missed, 13 the audit found something, 14 void, 15 stopped.
    """
    from node.app.loadtest.plan import LoadTestOrder
    from node.cli.loadtest.run import LoadTestOptions, run_load_test
    from node.domain.secret import Secret

    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    order = LoadTestOrder(plan, roster, Secret(api_key), tuple(sandbox_faults or ()), exclusive)
    with failures_told():
        raise typer.Exit(
            run_load_test(LoadTestOptions(order, flags(given, assignments), config, profile, document, check))
        )
