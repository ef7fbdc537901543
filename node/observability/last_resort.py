"""Where troubles of the logs themselves are told."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

LastResort = Callable[[str], None]
"""Takes a line of plain text, free of secrets; never raises and never waits for more than a terminal."""


def to_stderr(line: str) -> None:
    """Write a line to the standard error stream; when that is closed or broken too, nobody is left to tell."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
