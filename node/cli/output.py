"""Where everything is printed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TextIO, cast

from rich.console import Console

from node.observability.masked_stream import MaskedStream


def mask_output(redact: Callable[[str], str]) -> None:
    """Mask whatever is printed from now on, by anybody, until the program ends: its last words, too."""
    sys.stdout = cast("TextIO", MaskedStream(sys.stdout, redact))
    mask_errors(redact)


def mask_errors(redact: Callable[[str], str]) -> None:
    """The same for standard error alone: for commands whose standard output is what somebody asked for."""
    sys.stderr = cast("TextIO", MaskedStream(sys.stderr, redact))


class OutputConsole(Console):
    """A console whose reader may go: then it falls silent and the program stops gracefully, as for SIGTERM."""

    def on_broken_pipe(self) -> None:
        """Called by rich when nobody reads standard output any more."""
        if self.quiet:
            return
        self.quiet = True
        # What is still in the buffer must go somewhere when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.kill(os.getpid(), signal.SIGTERM)
