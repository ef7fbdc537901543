"""The console that everything is printed on."""

from __future__ import annotations

import os
import signal
import sys

from rich.console import Console


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
