"""The generator's eye on itself."""

from __future__ import annotations

import asyncio

import pytest

from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.self_watch import CPU, SelfWatch
from node.loadtest.figures.health import Health
from node.loadtest.figures.recorder import Recorder, steady_wall
from node.runtime.signals import Signal
from tests.support.virtual_time import START, VirtualClock, in_virtual_time


class Late(Signal):
    """A signal whose waits take 7 ms longer than they were meant to, as on a busy machine."""

    async def wait(self, timeout_s: float | None = None) -> bool:
        return await super().wait(None if timeout_s is None else timeout_s + 0.007)


@pytest.mark.parametrize("begins_s", [0.0, 0.45, 0.995])
@in_virtual_time
async def test_each_second_has_a_tick_however_late_ticks_are(begins_s: float) -> None:
    clock, stop = VirtualClock(), Late()
    await asyncio.sleep(begins_s)
    now = steady_wall(clock)
    recorder = Recorder(now)
    watch = SelfWatch(recorder, Health(), clock, now, DriverPolicy(), cpu_s=clock.monotonic, gauges=dict)
    ticking = asyncio.create_task(watch.tick(stop))
    await asyncio.sleep(300)
    stop.set()
    await ticking
    levels = recorder.figures.series.levels(CPU)
    assert len(levels) >= 299
    assert None not in levels[1:-1]


@in_virtual_time
async def test_a_run_that_waited_for_its_order_has_no_figures_of_that_time() -> None:
    clock, stop = VirtualClock(), Signal()
    now = steady_wall(clock)
    recorder = Recorder(now)
    await asyncio.sleep(600)
    watch = SelfWatch(recorder, Health(), clock, now, DriverPolicy(), cpu_s=clock.monotonic, gauges=dict)
    ticking = asyncio.create_task(watch.tick(stop))
    await asyncio.sleep(10)
    stop.set()
    await ticking
    assert len(recorder.figures.series.span) <= 11


class Stepped(VirtualClock):
    """A machine's clock that is set right by half a second after a minute."""

    def wall(self) -> float:
        return super().wall() + (0.5 if self.monotonic() > START + 60 else 0.0)


@in_virtual_time
async def test_ticks_keep_to_the_seconds_of_the_figures_when_the_machines_clock_is_set() -> None:
    clock, stop = Stepped(), Signal()
    now = steady_wall(clock)
    recorder = Recorder(now)
    told: list[float] = []
    watch = SelfWatch(
        *(recorder, Health(), clock, now, DriverPolicy(), clock.monotonic, dict),
        on_tick=lambda: told.append(now() % 1),
    )
    ticking = asyncio.create_task(watch.tick(stop))
    await asyncio.sleep(120)
    stop.set()
    await ticking
    assert len(told) >= 119
    assert max(min(at, 1 - at) for at in told) < 0.01
