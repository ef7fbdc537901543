"""``loadtest compare``: runs that are over, one against the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN.json",
            help="What 'loadtest run --json' has written: one baseline or more, then the run to compare with them.",
        ),
    ],
    document: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON.")
    ] = None,
    fail_on_worse: Annotated[
        bool, typer.Option("--fail-on-worse", help="End with exit code 12 when a metric is worse.")
    ] = False,
) -> None:
    """Compare a run with earlier ones: better, worse, the same or too little data, with an interval for each metric.

    What is worse is told and does not fail, unless --fail-on-worse says so.
    """
    from node.cli.loadtest.comparison import run_comparison

    if len(runs) < 2:
        raise typer.BadParameter("two documents at least are needed: the baseline and the run to compare with it")
    with failures_told():
        raise typer.Exit(run_comparison(runs[:-1], runs[-1], document, fail_on_worse=fail_on_worse))
