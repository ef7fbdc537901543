from __future__ import annotations

import asyncio
import time
import uuid

from node.runtime.system import SystemClock, SystemIds
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_the_clock_runs_with_the_machine_and_with_the_loop() -> None:
    clock = SystemClock()
    assert abs(clock.wall() - time.time()) < 5
    before = clock.monotonic()
    await asyncio.sleep(30)
    assert clock.monotonic() - before >= 30


def test_names_are_uuids_and_differ() -> None:
    names = {SystemIds().new() for _ in range(100)}
    assert len(names) == 100
    assert all(str(uuid.UUID(name)) == name for name in names)
