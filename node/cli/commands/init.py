"""``init``: the files that an operator edits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.failing import failures_told


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write a commented settings file, a profile and a .env template to start from."""
    from node.settings.template import write_starter_files

    with failures_told():
        for path in write_starter_files(folder, overwrite=force):
            typer.echo(f"Wrote {path}")
