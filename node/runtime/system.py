"""The real clock and the real source of names."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable


class SystemClock:
    """The machine's time; inside a loop in virtual time its `monotonic` is virtual too.

    It is of one loop: the one that runs when `monotonic` is called first.
    """

    def __init__(self) -> None:
        # Kept, since a node asks for the time a dozen times a job, and asking for the loop costs more than the rest.
        self._loop_time: Callable[[], float] | None = None

    def wall(self) -> float:
        """See `node.ports.clock.Clock.wall`."""
        return time.time()

    def monotonic(self) -> float:
        """See `node.ports.clock.Clock.monotonic`."""
        if self._loop_time is None:
            self._loop_time = asyncio.get_running_loop().time
        return self._loop_time()


class SystemIds:
    """Random UUIDs."""

    def new(self) -> str:
        """See `node.ports.clock.Ids.new`."""
        return str(uuid.uuid4())
