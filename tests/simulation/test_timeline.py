"""Processes on one clock: in order, without waiting, and dead when they are killed."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.timeline import Hung, Process, ProcessClock, Timeline, new_process


def process(timeline: Timeline, name: str = "p") -> Process:
    return new_process(timeline, name, pytest.fail)


def test_sleeps_take_no_time_and_end_in_order() -> None:
    timeline = Timeline()
    log: list[tuple[str, float]] = []
    clock = ProcessClock(timeline, skew_s=5.0)

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        log.append((name, clock.monotonic()))

    tasks = [process(timeline).start(sleep(name, seconds)) for name, seconds in [("a", 3600.0), ("b", 7.0)]]
    timeline.run(lambda: all(task.done() for task in tasks))
    assert log == [("b", 7.0), ("a", 3600.0)]
    assert clock.wall() == pytest.approx(1_700_000_000.0 + 3600 + 5)


def test_a_killed_process_runs_no_finally() -> None:
    timeline = Timeline()
    log: list[str] = []
    doomed, other = process(timeline), process(timeline)

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(10)
            log.append(name)
        finally:
            log.append(f"{name} cleans up")

    task = doomed.start(work("doomed"))
    other.start(work("other"))
    other.call_at(5.0, doomed.kill)
    timeline.run(lambda: timeline.now >= 10 and len(log) == 2)
    assert log == ["other", "other cleans up"]
    assert not task.done()
    doomed.is_dead = False
    task.cancel()
    timeline.run(task.done)


def test_a_fuse_burns_by_the_steps_of_its_own_process() -> None:
    timeline = Timeline()
    log: list[str] = []
    one, other = process(timeline), process(timeline)

    async def step(name: str) -> None:
        for number in range(6):
            log.append(f"{name}{number}")
            await asyncio.sleep(0)

    one.light_fuse(3, lambda: log.append("burnt"))
    tasks = [one.start(step("a")), other.start(step("b"))]
    timeline.run(lambda: all(task.done() for task in tasks))
    assert log[:7] == ["a0", "b0", "a1", "b1", "a2", "burnt", "b2"]


def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    timeline = Timeline()
    fired: list[object] = []
    here = process(timeline)
    for number in range(3000):
        here.call_later(100.0, fired.append, number).cancel()
    here.call_later(1.0, fired.append, "only")
    timeline.run(lambda: bool(fired))
    assert (fired, timeline.now) == (["only"], 1.0)


def test_a_loop_without_an_end_is_found_out() -> None:
    timeline = Timeline()
    here = process(timeline)

    def spin() -> None:
        here.call_soon(spin)

    here.call_soon(spin)
    with pytest.raises(Hung, match="without a move"):
        timeline.run(lambda: False)


def test_a_world_in_which_nothing_can_happen_any_more_is_found_out() -> None:
    timeline = Timeline()
    process(timeline).call_soon(lambda: None)
    with pytest.raises(Hung, match="no timer"):
        timeline.run(lambda: False)


def test_what_asyncio_would_log_is_a_defect() -> None:
    timeline = Timeline()
    defects: list[str] = []
    here = new_process(timeline, "p", defects.append)
    here.call_soon(lambda: 1 / 0)
    timeline.run(lambda: bool(defects))
    assert "ZeroDivisionError" in defects[0]
