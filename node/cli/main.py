"""The program's front door: which command was meant, and what all commands share."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Final

import typer

from node import __version__
from node.cli import commands
from node.cli.exit_codes import ExitCode
from node.runtime.build import of_what_kind

_OWN_OPTIONS: Final = {"--help", "-h", "--version", "--install-completion", "--show-completion"}

app = typer.Typer(
    name="llm-node",
    add_completion=True,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Worker nodes for an LLM gateway: run one in production, or simulate a fleet of them against a bundled gateway.",
    epilog="Without a command it simulates: 'python main.py --duration 30s' is 'python main.py simulate --duration 30s'.",
)
commands.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llm-node {of_what_kind(__version__)}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def heed_sigterm(pid: int) -> None:
    """Let SIGTERM end a process of this number as it ends others, until something else is wanted of it.

    The kernel spares process 1, which is what a container's program is, all signals that it has no handler for.
    """
    if pid == 1:
        signal.signal(signal.SIGTERM, _end)


def open_closed_streams() -> None:
    """Give the process the standard streams that whoever started it has closed: they lead nowhere.

    Else the next file that is opened would have the number of one, and get what is printed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # They are None where they were closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default the process's own, and return its exit code; see `ExitCode`."""
    open_closed_streams()
    heed_sigterm(os.getpid())
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in _OWN_OPTIONS):
        given.insert(0, "simulate")
    try:
        app(given, standalone_mode=True)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else ExitCode.DEFECT
    except OSError as error:
        from node.cli.output import output_failed

        if not output_failed(error):
            raise
        return ExitCode.STORAGE
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        return ExitCode.INTERRUPTED
    finally:
        # The interpreter ends by looking at every object for garbage; that time would be missing from a stop's.
        gc.freeze()
    return ExitCode.OK
