"""The real clock and the real source of names."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Final

_SAME_S: Final = 1.0
"""Two clocks that differ by less began together: one of them was read longer ago."""


class SystemClock:
    """The machine's time; inside a loop in virtual time its `monotonic` is virtual too.

    It is of one loop: the one that runs when `monotonic` is called first.
    """

    wall = staticmethod(time.time)
    """See `node.ports.clock.Clock.wall`."""

    @cached_property
    def monotonic(self) -> Callable[[], float]:
        """See `node.ports.clock.Clock.monotonic`."""
        loop, uvloop = asyncio.get_running_loop(), sys.modules.get("uvloop")
        if uvloop is None or not isinstance(loop, uvloop.Loop):
            return loop.time
        # That loop's own stands still while a turn lasts and knows whole milliseconds: what is measured by it is wrong by
        # as much. Where the two begin at different times, as they may on macOS, deadlines have to fit the loop's.
        ahead_s = loop.time() - time.monotonic()
        return time.monotonic if abs(ahead_s) < _SAME_S else lambda: time.monotonic() + ahead_s


class SystemIds:
    """Random UUIDs."""

    def new(self) -> str:
        """See `node.ports.clock.Ids.new`."""
        return str(uuid.uuid4())
