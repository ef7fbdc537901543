"""``simulate``: a fleet of nodes against a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import (
    ConfigOption,
    LogLevelOption,
    ProfileOption,
    SetOption,
    StateDirOption,
    duration,
    flags,
)

_RUN = "This run"


def simulate(
    nodes: Annotated[Path | None, typer.Option(help="The roster (CSV). Default: nodes.csv.")] = None,
    proxies: Annotated[Path | None, typer.Option(help="The proxy pool. Default: proxies.txt.")] = None,
    prompts: Annotated[
        list[Path] | None, typer.Option(help="Prompt file (CSV) with stored answers; may be repeated.")
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The gateway. Default: a sandbox gateway, started and fed with jobs."),
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="TIME",
            parser=duration,
            help="Stop gracefully after 30s, 5m, 1h, …",
            rich_help_panel=_RUN,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the draws repeatable.", rich_help_panel=_RUN)] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the closing figures as JSON.", rich_help_panel=_RUN)
    ] = None,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard/--no-dashboard", help="Live screen; without it a line now and then.", rich_help_panel=_RUN
        ),
    ] = True,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="Refuse to start when any row is bad.", rich_help_panel=_RUN)
    ] = None,
    json_logs: Annotated[
        bool | None, typer.Option("--json-logs", help="Log JSON, an object a line.", rich_help_panel=_RUN)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder in which the sandbox outlives a restart. Default: memory.", rich_help_panel=_RUN),
    ] = None,
    state_dir: StateDirOption = None,
    log_level: LogLevelOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Run a fleet of simulated nodes. With no gateway configured, a sandbox gateway is started and fed with jobs.

    The first Ctrl+C stops gracefully, the second at once.
    """
    from node.cli.simulation import SimulationOptions, run_simulation

    given: dict[str, object] = {
        "fleet.roster": nodes,
        "fleet.proxies": proxies,
        "stored.files": prompts or None,
        "gateway.url": gateway,
        "fleet.strict": strict,
        "logging.json_lines": json_logs,
        "logging.level": log_level,
        "sandbox.data_dir": data,
        "state_dir": state_dir,
    }
    options = SimulationOptions(
        flags=flags(given, assignments),
        config_file=config,
        profile=profile,
        duration_s=length,
        seed=seed,
        summary=summary,
        dashboard=dashboard,
    )
    with failures_told():
        raise typer.Exit(run_simulation(options))
