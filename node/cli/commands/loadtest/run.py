"""``loadtest run``: a plan carried out, and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.loadtest.options import (
    ApiKeyOption,
    ExclusiveOption,
    GatewayOption,
    PlanSetOption,
    RosterOption,
    SandboxFaultOption,
    refuse_plan_keys,
)
from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags

_RUN = "This run"
_SEEN = "What is seen of it"
_SPREAD = "More than one core or machine"


def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What to do: see config/scenarios/.")],
    check: Annotated[bool, typer.Option("--check", help="Show what the plan comes to, and do nothing.")] = False,
    gateway: GatewayOption = None,
    roster: RosterOption = None,
    api_key: ApiKeyOption = "",
    exclusive: ExclusiveOption = False,
    plan_set: PlanSetOption = None,
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
    sandbox_faults: SandboxFaultOption = None,
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

    refuse_plan_keys(assignments)
    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    order = LoadTestOrder(plan, roster, Secret(api_key), tuple(sandbox_faults or ()), exclusive, tuple(plan_set or ()))
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
