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
    from node.settings.template import starter_files, write_starter_files

    with failures_told():
        written = write_starter_files(folder, overwrite=force)
        for path in starter_files():
            is_new = folder / path in written or path in written
            typer.echo(
                f"Wrote {folder / path}" if is_new else f"Left as it is: {folder / path}; --force writes over it"
            )
