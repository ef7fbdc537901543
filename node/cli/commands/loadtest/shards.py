"""``loadtest shard`` and ``loadtest merge``: a load test over machines that share nothing but a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.loadtest.options import ExclusiveOption, RosterOption
from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, duration, flags

_TOGETHER = "Together with the others"

ApiKeyOption = Annotated[
    str,
    typer.Option(
        help="The developer's key, the same for all shards and for their judge.",
        envvar="LLM_NODE_API_KEY",
        show_envvar=True,
    ),
]


def start_time(text: str) -> float:
    """Unix seconds of ``2026-11-21T20:00:00Z``, or of the next whole ``5m`` that is at least 20 seconds away.

    Raises:
        typer.BadParameter: it is neither, or is past.
    """
    import math
    import time
    from datetime import datetime

    now = time.time()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        step_s = duration(text)
        return math.ceil((now + 20.0) / step_s) * step_s
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} names no time zone: write Z at its end for UTC")
    if at.timestamp() < now:
        raise typer.BadParameter(f"{text!r} is past")
    return at.timestamp()


def shard(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What all shards do together.")],
    count: Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="How many shards there are.")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that all of them share.")],
    index: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="I",
            help="Which of them this is, from 0.",
            envvar="JOB_COMPLETION_INDEX",
            show_envvar=True,
        ),
    ],
    start_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|STEP",
            help="Begin at a time (2026-11-21T20:00:00Z) or the next whole step (5m). Default: when all are ready.",
            rich_help_panel=_TOGETHER,
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="How long the others are waited for before the begin. Default: 10m.",
            show_default=False,
            rich_help_panel=_TOGETHER,
        ),
    ] = 600.0,
    lead: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="From the last one's being ready to the begin: more than the folder takes to show it to all. Default: 5s.",
            show_default=False,
            rich_help_panel=_TOGETHER,
        ),
    ] = 5.0,
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The gateway, which all shards reach. It must be named, here or in the settings."
        ),
    ] = None,
    roster: RosterOption = None,
    api_key: ApiKeyOption = "",
    exclusive: ExclusiveOption = False,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Carry out one of several parts of a plan, at the same time as the others, each on a machine of its own.

    What it measured is left in the folder; 'loadtest merge' judges all parts as one run. SIGTERM ends the load early.

    Exit codes: 0 its part is there, 15 so it is, but cut short.
    """
    from node.app.loadtest.plan import LoadTestOrder
    from node.cli.loadtest.shards import ShardOptions, run_folder_shard
    from node.domain.secret import Secret
    from node.loadtest.shards.folder_link import FolderPolicy

    if index >= count:
        raise typer.BadParameter(f"of {count} shards the last one is {count - 1}", param_hint="--index")
    policy = FolderPolicy(None if start_at is None else start_time(start_at), wait, lead)
    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    options = ShardOptions(
        order=LoadTestOrder(plan, roster, Secret(api_key), (), exclusive),
        flags=flags(given, assignments),
        config_file=config,
        profile=profile,
        index=index,
        count=count,
        folder=folder,
        policy=policy,
    )
    with failures_told():
        raise typer.Exit(run_folder_shard(options))


def merge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the shards have shared.")],
    api_key: ApiKeyOption = "",
    document: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything measured as JSON.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a report: HTML for people, JSON, CSV, JUnit XML and metrics."),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="Wait so long for shards that go on. Default: not at all."
        ),
    ] = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Judge what the shards of a run have left in a folder, as one run: their figures and books are put together.

    A shard whose record is missing counts as lost, its nodes as crashed, and the run as void.

    The gateway is asked what became of the jobs. Exit codes are those of 'loadtest run'.
    """
    from node.cli.loadtest.shards import MergeOptions, merge_shards
    from node.domain.secret import Secret

    given: dict[str, object] = {"state_dir": state_dir}
    options = MergeOptions(
        folder=folder,
        api_key=Secret(api_key),
        flags=flags(given, assignments),
        config_file=config,
        profile=profile,
        document=document,
        report=report,
        wait_s=wait,
    )
    with failures_told():
        raise typer.Exit(merge_shards(options))
