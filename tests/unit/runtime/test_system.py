from __future__ import annotations

import asyncio
import time
import uuid

import uvloop

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


def test_time_goes_on_within_a_turn_of_the_loop() -> None:
    async def measured() -> tuple[float, float]:
        clock = SystemClock()
        began, spun = clock.monotonic(), time.perf_counter() + 0.0005
        while time.perf_counter() < spun:
            pass
        return clock.monotonic() - began, clock.monotonic() - asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took_s, apart_s = runner.run(measured())
    assert 0.0004 < took_s < 0.1
    assert -0.001 < apart_s < 0.1
