"""``gateway``: the sandbox gateway by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, flags


def gateway(
    port: Annotated[
        int | None, typer.Option(help="Port on 127.0.0.1. Default: one that is free.", min=0, max=65535)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder in which nodes, jobs and points outlive a restart. Default: memory.")
    ] = None,
    prompts: Annotated[
        list[Path] | None, typer.Option(help="Prompt file (CSV) to feed it from; may be repeated.")
    ] = None,
    feed: Annotated[
        float | None, typer.Option(metavar="RATE", help="Jobs a second to feed it; 0 for none.", min=0)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the draws repeatable.")] = None,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Run the sandbox gateway and its auth service alone, until Ctrl+C.

    Point nodes at it with --gateway, and give it work with 'submit'.
    """
    from node.cli.gateway import run_gateway

    given: dict[str, object] = {
        "sandbox.port": port,
        "sandbox.data_dir": data,
        "stored.files": prompts or None,
        "workload.jobs_per_s": feed,
        "state_dir": state_dir,
    }
    with failures_told():
        run_gateway(flags(given, assignments), config, profile, seed)
