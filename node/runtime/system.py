"""The real clock and the real source of names."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from functools import cached_property


class SystemClock:
    """The machine's time; inside a loop in virtual time its `monotonic` is virtual too.

    It is of one loop: the one that runs when `monotonic` is called first.
    """

    wall = staticmethod(time.time)
    """See `node.ports.clock.Clock.wall`."""

    @cached_property
    def monotonic(self) -> Callable[[], float]:
        """See `node.ports.clock.Clock.monotonic`."""
        # The loop's own, since a node asks for the time a dozen times a job.
        return asyncio.get_running_loop().time


class SystemIds:
    """Random UUIDs."""

    def new(self) -> str:
        """See `node.ports.clock.Ids.new`."""
        return str(uuid.uuid4())
