"""What this machine ran out of: failures that say nothing of the gateway."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from node.domain.errors import TransportError
from node.loadtest.figures.reasons import Reasons

_CODES: Final = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)
"""Files of the process and of the system, ports for connections, memory for sockets."""

_WORDS: Final = tuple(map(os.strerror, _CODES))


def shortage(error: TransportError) -> str | None:
    """What was short where a request was not sent; None where something else was in the way."""
    cause = error.__cause__
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno in _CODES else None


def shortages(errors: Reasons) -> Iterator[str]:
    """Sentences on what was short, by what it kept from being done."""
    for name, times in errors.most_common():
        what, _, reason = name.partition(": ")
        words = next((words for words in _WORDS if words in reason), None)
        if words is not None:
            yield f"connections that this machine could not open: {times} ({what}), {words.lower()}"
