"""Where everything is printed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from typing import Final, TextIO, cast

import typer
from rich.console import Console

from node.cli.exit_codes import ExitCode
from node.observability.masked_stream import MaskedStream

_OUTPUT: Final = "standard output"
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class OutputLoss:
    """What became of output that nobody takes, for a program that goes on without it.

    It is told once for standard output and once for standard error, to whoever `told_to` names, from any thread. Where
    ``ends_with_reader`` a pipe without a reader is none of its losses: `OutputConsole` ends the program then.
    """

    def __init__(self, who: str = "the node", *, ends_with_reader: bool = False) -> None:
        self._who = who
        self._ends_with_reader = ends_with_reader
        self._lost: dict[str, str] = {}
        self._tell: Callable[[str], object] | None = None

    def told_to(self, tell: Callable[[str], object]) -> None:
        """Tell this from now on, what happened before too."""
        self._tell = tell
        for text in self._lost.values():
            tell(text)

    def happened(self, name: str, stream: TextIO, error: Exception) -> None:
        """Note that a stream does not take what is written; raises the error where it is none of the losses."""
        if isinstance(error, BrokenPipeError):
            if self._ends_with_reader:
                raise error
            _to_nowhere(stream)
        if name in self._lost:
            return
        text = self._lost[name] = (
            f"{name} does not take what is written ({_why(error)}): {self._who} goes on without it"
        )
        if self._tell is not None:
            self._tell(text)

    def exit_code(self, otherwise: ExitCode) -> ExitCode:
        """That of the program, ``otherwise``; where nothing else is wrong the lost output is."""
        return ExitCode.STORAGE if otherwise is ExitCode.OK and _OUTPUT in self._lost else otherwise


def open_output(redact: Callable[[str], str], who: str) -> OutputLoss:
    """`mask_output`, for a command that a full disk or a missing character must not end; ``who`` goes on without it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    loss = OutputLoss(who, ends_with_reader=True)
    loss.told_to(lambda text: typer.echo(f"{text[0].upper()}{text[1:]}.", err=True))
    mask_output(redact, loss)
    return loss


def output_failed(error: OSError) -> bool:
    """Say on standard error that the disk takes no more, and let what is still unwritten go; whether it is about that."""
    if error.errno not in _FULL:
        return False
    with contextlib.suppress(OSError):
        place = "" if error.filename is None else f" to {str(error.filename)!r}"
        typer.echo(f"What was to be written{place} is lost: {_why(error)}.", err=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _to_nowhere(stream)
    return True


def mask_output(redact: Callable[[str], str], loss: OutputLoss | None = None) -> None:
    """Mask whatever is printed from now on, by anybody, until the program ends: its last words, too.

    With ``loss`` output that cannot be written is dropped.
    """
    sys.stdout = _masked(_OUTPUT, sys.stdout, redact, loss)
    mask_errors(redact, loss)


def mask_errors(redact: Callable[[str], str], loss: OutputLoss | None = None) -> None:
    """The same for standard error alone: for commands whose standard output is what somebody asked for."""
    sys.stderr = _masked("standard error", sys.stderr, redact, loss)


def _masked(name: str, stream: TextIO, redact: Callable[[str], str], loss: OutputLoss | None) -> TextIO:
    on_loss = None if loss is None else partial(loss.happened, name, stream)
    return cast("TextIO", MaskedStream(stream, redact, on_loss))


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__


def _to_nowhere(stream: TextIO) -> None:
    # What is still in the buffer must go somewhere when the interpreter ends.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class OutputConsole(Console):
    """A console whose reader may go: then it falls silent and the program stops gracefully, as for SIGTERM.

    Where output is masked with an `OutputLoss` it comes to that only if that says so.
    """

    def on_broken_pipe(self) -> None:
        """Called by rich when nobody reads standard output any more."""
        if self.quiet:
            return
        self.quiet = True
        _to_nowhere(sys.stdout)
        os.kill(os.getpid(), signal.SIGTERM)
