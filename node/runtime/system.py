"""The real clock and the real source of names."""

from __future__ import annotations

import asyncio
import time
import uuid


class SystemClock:
    """The machine's time; inside a loop in virtual time its `monotonic` is virtual too."""

    def wall(self) -> float:
        """See `node.ports.clock.Clock.wall`."""
        return time.time()

    def monotonic(self) -> float:
        """See `node.ports.clock.Clock.monotonic`."""
        return asyncio.get_running_loop().time()


class SystemIds:
    """Random UUIDs."""

    def new(self) -> str:
        """See `node.ports.clock.Ids.new`."""
        return str(uuid.uuid4())
