"""How many files and connections this process may have open at a time."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Final

if sys.platform != "win32":
    import resource

_ENOUGH: Final = 1 << 20
"""Where the system sets no limit."""


@contextlib.contextmanager
def more_open_files() -> Iterator[None]:
    """Raise the limit (``ulimit -n``) as far as it may be raised, within the block; where that fails it stays.

    Shells set it to 1024 for the sake of programs that use ``select``: a gateway that does not answer has more
    connections than that open in no time. Processes that are started meanwhile inherit it.
    """
    if sys.platform == "win32":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(ValueError, OSError):
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
