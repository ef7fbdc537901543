"""``loadtest``: a plan of nodes, jobs and faults against a gateway, with a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from node.cli.commands.capacity import capacity
from node.cli.commands.compare import compare
from node.cli.commands.shards import merge, shard
from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

_RUN = "This run"
_SEEN = "What is seen of it"
_SPREAD = "More than one core or machine"


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


app.command()(capacity)
app.command()(shard)
app.command()(merge)
app.command()(compare)


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
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a report there: a page, JSON, CSV, JUnit XML, metrics.", rich_help_panel=_RUN
        ),
    ] = None,
    push_metrics: Annotated[
        str | None,
        typer.Option(
            "--push-metrics",
            metavar="URL",
            help="Push the final figures to a Prometheus Pushgateway.",
            envvar="LLM_NODE_PUSH_METRICS",
            show_envvar=True,
            rich_help_panel=_RUN,
        ),
    ] = None,
    baselines: Annotated[
        list[Path] | None,
        typer.Option(
            "--compare",
            metavar="FILE",
            help="Compare with an earlier run's --json: better, worse or the same. May be repeated.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    fail_on_worse: Annotated[
        bool,
        typer.Option(
            "--fail-on-worse",
            help="With --compare: exit code 12 when a metric is worse. Default: it is told.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    sandbox_faults: Annotated[
        list[str] | None,
        typer.Option(
            "--sandbox-fault",
            metavar="NAME=SHARE",
            help="Plant a bug into the bundled gateway, to see it caught; may be repeated.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard/--no-dashboard", help="Live screen; without it a line now and then.", rich_help_panel=_SEEN
        ),
    ] = True,
    ui: Annotated[
        bool,
        typer.Option(
            "--ui", help="Live web page on this machine; the run waits for Start there.", rich_help_panel=_SEEN
        ),
    ] = False,
    ui_port: Annotated[
        int | None,
        typer.Option(
            "--ui-port",
            min=0,
            max=65535,
            metavar="N",
            help="Its port; 0: a free one. Default: 8089.",
            rich_help_panel=_SEEN,
        ),
    ] = None,
    autostart: Annotated[
        bool, typer.Option("--autostart", help="With --ui: begin without waiting for Start.", rich_help_panel=_SEEN)
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            min=1, max=1024, metavar="N", help="Processes to spread nodes and jobs over.", rich_help_panel=_SPREAD
        ),
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local", help="Ray cluster to spread them over: its address.", rich_help_panel=_SPREAD
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, metavar="N", help="With --ray: over how many actors. Default: 2.", rich_help_panel=_SPREAD
        ),
    ] = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Load a gateway as a plan says, and judge it: by its thresholds, and by an audit of every job.

    The first Ctrl+C ends the load and tells what there is, the second ends everything.

    Exit codes: 0 passed, 12 a threshold was missed, 13 the audit found something, 14 void, 15 stopped.
    """
    from node.app.loadtest.plan import LoadTestOrder
    from node.cli.loadtest.page import page_options
    from node.cli.loadtest.reports import ReportOptions
    from node.cli.loadtest.run import LoadTestOptions, run_load_test
    from node.cli.loadtest.shards import shards_of
    from node.domain.secret import Secret

    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    order = LoadTestOrder(plan, roster, Secret(api_key), tuple(sandbox_faults or ()), exclusive)
    if fail_on_worse and not baselines:
        raise typer.BadParameter("there is nothing to be worse than: add --compare", param_hint="--fail-on-worse")
    if not ui and (ui_port is not None or autostart):
        raise typer.BadParameter(
            "it is about the live page: add --ui", param_hint="--autostart" if autostart else "--ui-port"
        )
    options = LoadTestOptions(
        order=order,
        flags=flags(given, assignments),
        config_file=config,
        profile=profile,
        document=document,
        check=check,
        dashboard=dashboard,
        page=page_options(ui_port, autostart=autostart) if ui else None,
        baselines=tuple(baselines or ()),
        fail_on_worse=fail_on_worse,
        reports=ReportOptions(report, None if push_metrics is None else Secret(push_metrics)),
    )
    with failures_told():
        spread = shards_of(processes, ray, shards, has_gateway=gateway is not None)
        raise typer.Exit(run_load_test(replace(options, shards=spread)))
