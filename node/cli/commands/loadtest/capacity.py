"""``loadtest capacity``: the highest load that meets a plan's thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, duration, flags

_SEARCH = "Search"
_SANDBOX = "Sandbox"
_LEAST_STEP_S = 2.0


def share(text: str | float) -> float:
    """A precision such as ``2%``; a default passes as it is.

    Raises:
        typer.BadParameter: it is none between 0.1 % and 50 %.
    """
    from node.loadtest.plan.quantities import parse_share

    try:
        found = text if isinstance(text, float) else parse_share(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is {error}") from error
    if not 0.001 <= found <= 0.5:
        raise typer.BadParameter(f"{text!r} does not lie between 0.1% and 50%")
    return found


def rate(text: str | float) -> float:
    """Jobs a second, or a number of nodes: above 0; a default passes as it is.

    Raises:
        typer.BadParameter: it is neither.
    """
    from node.loadtest.plan.quantities import parse_rate_per_s

    try:
        found = text if isinstance(text, float) else parse_rate_per_s(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is {error}") from error
    if found <= 0:
        raise typer.BadParameter(f"{text!r} is not above 0")
    return found


def capacity(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What is scaled: see config/scenarios/.")],
    find: Annotated[
        Literal["jobs", "nodes"],
        typer.Option(help="What to raise: jobs a second, or nodes, each with its part of the plan's jobs."),
    ] = "jobs",
    lowest: Annotated[
        float | None,
        typer.Option(
            "--from",
            metavar="LOAD",
            parser=rate,
            help="The lowest load, 50/s or 200. Default: begin at the plan's own, and go down where it is too much.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    highest: Annotated[
        float | None,
        typer.Option("--to", metavar="LOAD", parser=rate, help="The highest load.", rich_help_panel=_SEARCH),
    ] = None,
    step_time: Annotated[
        float,
        typer.Option(
            metavar="TIME",
            parser=duration,
            help="What is judged of a step. Default: 20s.",
            show_default=False,
            rich_help_panel=_SEARCH,
        ),
    ] = 20.0,
    precision: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            parser=share,
            help="How near met and not met are to be. Default: 2%.",
            show_default=False,
            rich_help_panel=_SEARCH,
        ),
    ] = 0.02,
    document: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the steps and the knee as JSON.", rich_help_panel=_SEARCH),
    ] = None,
    gateway: GatewayOption = None,
    roster: RosterOption = None,
    api_key: ApiKeyOption = "",
    exclusive: ExclusiveOption = False,
    plan_set: PlanSetOption = None,
    sandbox_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            parser=rate,
            help="Jobs a second that the sandbox hands out at most, 400/s: to see the search find it.",
            rich_help_panel=_SANDBOX,
        ),
    ] = None,
    sandbox_faults: SandboxFaultOption = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Search the highest load that meets a plan's thresholds: one steady load after the other, on the same gateway.

    Ctrl+C ends the search and tells what is known.

    Exit codes: 0 found; at the lowest load 12 not met, 13 the audit found something, 14 void; 15 stopped.
    """
    from math import inf

    from node.app.loadtest.capacity_result import CapacityOrder, Find
    from node.app.loadtest.plan import LoadTestOrder
    from node.cli.loadtest.capacity import CapacityOptions, run_capacity
    from node.domain.secret import Secret

    if step_time < _LEAST_STEP_S:
        raise typer.BadParameter(f"less than {_LEAST_STEP_S:g}s tell nothing", param_hint="--step-time")
    refuse_plan_keys(assignments)
    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    order = LoadTestOrder(plan, roster, Secret(api_key), tuple(sandbox_faults or ()), exclusive, tuple(plan_set or ()))
    search = CapacityOrder(Find(find), lowest, inf if highest is None else highest, step_time, precision)
    with failures_told():
        raise typer.Exit(
            run_capacity(
                CapacityOptions(order, search, sandbox_rate, flags(given, assignments), config, profile, document)
            )
        )
