"""From an error to a message and an exit code: the one place."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import typer

from node.cli.exit_codes import ExitCode
from node.domain.errors import (
    InvalidInput,
    NotAllowed,
    SandboxFailed,
    ShardsFailed,
    StepFailed,
    StorageError,
    TransportError,
)


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Turn what goes wrong within the block into words on stderr and the exit code that belongs to it.

    Raises:
        typer.Exit: in place of a `NodeError` that has a code of its own; any other error passes as it is.
    """
    try:
        yield
    except InvalidInput as error:
        match error.faults:
            case [fault]:
                typer.echo(str(fault), err=True)
            case faults:
                typer.echo(f"{len(faults)} things cannot be used:", err=True)
                for fault in faults:
                    typer.echo(f"  {fault}", err=True)
        raise typer.Exit(ExitCode.INVALID_INPUT) from error
    except NotAllowed as error:
        raise _ended(ExitCode.NOT_ALLOWED, str(error)) from error
    except StorageError as error:
        raise _ended(ExitCode.STORAGE, str(error)) from error
    except (TransportError, SandboxFailed, ShardsFailed, StepFailed) as error:
        raise _ended(ExitCode.UNREACHABLE, str(error)) from error
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        raise typer.Exit(ExitCode.OK) from None


def _ended(code: ExitCode, text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(code)
