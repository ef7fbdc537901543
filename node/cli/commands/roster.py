"""``roster``: a roster of simulated nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told


def roster(
    nodes: Annotated[int, typer.Option(help="How many nodes.", min=1)] = 20,
    accounts: Annotated[int, typer.Option(help="Over how many accounts they are spread.", min=1)] = 5,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("nodes.csv"),
    seed: Annotated[int, typer.Option(help="Another seed makes another roster.")] = 0,
    models: Annotated[list[str] | None, typer.Option("--model", help="A model they offer; may be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a roster of simulated nodes with made-up identities."""
    from node.settings.simulated import MODELS, write_roster

    with failures_told():
        write_roster(output, nodes, seed=seed, accounts=accounts, models=tuple(models or MODELS), overwrite=force)
        typer.echo(f"Wrote {nodes} nodes over {accounts} accounts to {output}")
