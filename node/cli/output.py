"""Where everything is printed."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TextIO, cast

from rich.console import Console

from node.observability.masked_stream import MaskedStream


class OutputLoss:
    """What became of output that nobody takes, for a program that goes on without it.

    It is told once for standard output and once for standard error, to whoever `told_to` names, from any thread.
    """

    def __init__(self) -> None:
        self._lost: dict[str, str] = {}
        self._tell: Callable[[str], object] | None = None

    def told_to(self, tell: Callable[[str], object]) -> None:
        """Tell this from now on, what happened before too."""
        self._tell = tell
        for text in self._lost.values():
            tell(text)

    def happened(self, name: str, stream: TextIO, error: Exception) -> None:
        """Note that a stream does not take what is written."""
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            _to_nowhere(stream)
        if name in self._lost:
            return
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        text = self._lost[name] = f"{name} does not take what is written ({why}): the node goes on without it"
        if self._tell is not None:
            self._tell(text)


def mask_output(redact: Callable[[str], str], loss: OutputLoss | None = None) -> None:
    """Mask whatever is printed from now on, by anybody, until the program ends: its last words, too.

    With ``loss`` output that cannot be written is dropped.
    """
    sys.stdout = _masked("standard output", sys.stdout, redact, loss)
    mask_errors(redact, loss)


def mask_errors(redact: Callable[[str], str], loss: OutputLoss | None = None) -> None:
    """The same for standard error alone: for commands whose standard output is what somebody asked for."""
    sys.stderr = _masked("standard error", sys.stderr, redact, loss)


def _masked(name: str, stream: TextIO, redact: Callable[[str], str], loss: OutputLoss | None) -> TextIO:
    on_loss = None if loss is None else partial(loss.happened, name, stream)
    return cast("TextIO", MaskedStream(stream, redact, on_loss))


def _to_nowhere(stream: TextIO) -> None:
    # What is still in the buffer must go somewhere when the interpreter ends.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class OutputConsole(Console):
    """A console whose reader may go: then it falls silent and the program stops gracefully, as for SIGTERM.

    Where output is masked with an `OutputLoss` it never comes to that.
    """

    def on_broken_pipe(self) -> None:
        """Called by rich when nobody reads standard output any more."""
        if self.quiet:
            return
        self.quiet = True
        _to_nowhere(sys.stdout)
        os.kill(os.getpid(), signal.SIGTERM)
