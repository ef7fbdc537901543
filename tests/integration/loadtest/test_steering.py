"""Steering a load test in virtual time: waiting for its start, pauses, stops, and what is seen of it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from node.app.loadtest.steered_run import SteeredRun
from node.domain.events import Crash, Event, LifeChanged
from node.domain.states import Life
from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Measure
from node.loadtest.live.watched import Standing, WatchedRun
from tests.integration.loadtest.world import URL, World, fault, plan_text, world
from tests.support.virtual_time import START, in_virtual_time


class Sink:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


def steered(it: World, *, waits: bool = False, sink: Sink | None = None) -> SteeredRun:
    return SteeredRun(it.run, URL, sink or Sink(), waits=waits)


def at(seconds: float, act: Callable[[], object]) -> None:
    """Act so many seconds after the run's order to begin; the plan's time 0 comes half a second after that."""
    asyncio.get_running_loop().call_later(seconds, act)


def seen(run: WatchedRun) -> list[Standing]:
    found: list[Standing] = []
    run.on_tick(lambda: found.append(run.standing))
    return found


@in_virtual_time
async def test_a_paused_plan_goes_on_where_it_stood() -> None:
    kill = fault("kill", "6s", share="30%", restart_after="2s")
    async with world(plan_text(faults=kill, thresholds="[]")) as it:
        run = steered(it)
        standings = seen(run)
        at(4.55, run.pause)
        at(14.55, run.resume)
        record = await it.run.run()
        outcome = await it.judge(record)
    assert record.paused_s == pytest.approx(10)
    assert outcome.report.jobs.submitted == outcome.report.jobs.answered == 100
    assert record.times.load_ended_at - record.times.begun_at == pytest.approx(22, abs=0.1)
    marks = {mark.text: mark.at - record.times.begun_at for mark in record.figures.series.marks}
    assert marks == pytest.approx(
        {"paused": 4.05, "resumed": 14.05, "kill 30%, back after 2s": 16, "3 nodes come back": 18}
    )
    held = [one for one in standings if one.is_paused]
    assert len(held) >= 9
    assert [one.elapsed_s for one in held] == pytest.approx([4.05] * len(held))
    assert {one.offered for one in held[1:]} == {30}
    # Nodes go on with what they have.
    assert held[-1].accepted == held[-1].submitted
    assert held[-1].states == {"idle": 10}


@in_virtual_time
async def test_nobody_waits_for_a_pause_in_the_latencies() -> None:
    async with world(plan_text()) as it:
        run = steered(it)
        at(4.5, run.pause)
        at(64.5, run.resume)
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED
    assert outcome.histograms[Measure.SUBMIT].max_s < 0.5
    assert outcome.histograms[Measure.JOB].max_s < 5
    assert outcome.histograms[Measure.JOB].count == 100


@in_virtual_time
async def test_nodes_come_no_earlier_than_their_plan_goes_on() -> None:
    stages = '[[nodes.stages]]\nkind="ramp"\nto=10\nover="10s"'
    async with world(plan_text(nodes=stages, arrivals="", thresholds="[]")) as it:
        run = steered(it)
        standings = seen(run)
        at(5.5, run.pause)
        at(25.5, run.resume)
        await it.run.run()
    held = [one for one in standings if one.is_paused][1:]
    assert {(one.nodes, one.planned_nodes) for one in held} == {(5, 5)}
    assert max(one.nodes for one in standings) == 10


@in_virtual_time
async def test_a_pause_is_for_the_load_alone() -> None:
    async with world(plan_text()) as it:
        run = steered(it)
        run.pause()
        assert not run.standing.is_paused
        running = asyncio.create_task(it.run.run())
        await asyncio.sleep(0.1)
        run.pause()
        run.resume()
        assert not run.standing.is_paused
        record = await running
        run.pause()
        assert not run.standing.is_paused
    assert record.paused_s == 0
    assert not record.is_cut_short


@in_virtual_time
async def test_a_paused_run_can_be_stopped() -> None:
    async with world(plan_text()) as it:
        run = steered(it)
        at(5.5, run.pause)
        at(8.5, run.stop)
        outcome = await it.outcome()
        assert asyncio.get_running_loop().time() - START < 16
    assert outcome.verdict is Verdict.STOPPED
    assert outcome.report.jobs.submitted == pytest.approx(40, abs=2)
    assert not run.standing.is_paused


@in_virtual_time
async def test_it_begins_when_it_is_told_to() -> None:
    async with world(plan_text()) as it:
        run = steered(it, waits=True)
        assert (run.standing.phase, run.standing.elapsed_s) == (Phase.WAITING, -0.5)
        assert run.standing.states == {}
        at(100, run.start)
        await run.ordered()
        run.start()
        assert asyncio.get_running_loop().time() - START == pytest.approx(100)
        outcome = await it.outcome()
        run.judged(outcome.verdict, outcome.outcomes)
    assert run.verdict is outcome.verdict is Verdict.PASSED
    assert [str(one.threshold) for one in run.outcomes] == [str(one) for one in it.scenario.plan.thresholds]
    assert (run.plan, run.gateway) == (it.scenario.plan, URL)
    assert run.figures is outcome.figures


@pytest.mark.parametrize("order", ["stop", "abort"])
def test_what_is_stopped_before_its_start_is_over_at_once(order: str) -> None:
    @in_virtual_time
    async def check() -> None:
        async with world(plan_text(thresholds="[]")) as it:
            run = steered(it, waits=True)
            at(7, getattr(run, order))
            await run.ordered()
            outcome = await it.outcome()
            assert asyncio.get_running_loop().time() - START < 9
        assert outcome.verdict is Verdict.STOPPED
        assert it.of(LifeChanged) == []
        assert outcome.times.begun_at <= outcome.times.load_ended_at
        assert outcome.figures.counts["offered"] == 0

    check()


@in_virtual_time
async def test_what_is_seen_adds_up() -> None:
    crashes = fault("kill", "4s", share="30%")
    async with world(plan_text(faults=crashes, thresholds="[]", speed=8, slots=2)) as it:
        run = steered(it)
        standings = seen(run)
        await it.run.run()
    loaded = [one for one in standings if one.phase is Phase.LOAD and one.elapsed_s > 1.5]
    for one in loaded:
        assert one.queued >= 0
        assert one.queued + one.working + one.accepted == pytest.approx(one.submitted, abs=3)
        assert sum(one.states.values()) == 10
        assert one.duration_s == 12
    assert {one.states.get("crashed", 0) for one in loaded if one.elapsed_s > 5} == {3}
    assert {one.nodes for one in loaded if one.elapsed_s > 5} == {7}
    assert max(one.working for one in loaded) >= 10
    assert standings[-1].phase is Phase.OVER
    assert [one.phase for one in standings][::-1].index(Phase.LEAVING) < 10
    series = it.run.figures.series
    assert {"queued", "working", "in_flight", "outbox", "cpu", "nodes.planned"} <= set(series.names)
    assert any(lag is not None for lag in series.maxima("lag"))


@in_virtual_time
async def test_phases_are_told_when_they_change() -> None:
    async with world(plan_text(duration="1s", arrivals="", thresholds="[]")) as it:
        run = steered(it)
        standings = seen(run)
        await it.run.run()
    phases = list(dict.fromkeys(one.phase for one in standings))
    assert phases == [Phase.LOAD, Phase.SETTLING, Phase.LEAVING, Phase.OVER]


@in_virtual_time
async def test_a_display_that_fails_is_not_told_any_more_and_hurts_nobody() -> None:
    sink, calls = Sink(), list[str]()

    def broken() -> None:
        calls.append("broken")
        raise ZeroDivisionError("a display")

    async with world(plan_text(duration="3s", arrivals="", thresholds="[]")) as it:
        run = steered(it, sink=sink)
        run.on_tick(broken)
        end = run.on_tick(lambda: calls.append("ended"))
        run.on_tick(lambda: calls.append("whole"))
        end()
        end()
        record = await it.run.run()
    assert not record.is_cut_short
    assert calls.count("broken") == 1
    assert calls.count("whole") >= 5
    assert "ended" not in calls
    [crash] = sink.events
    assert isinstance(crash, Crash)
    assert "a display" in crash.task
    assert {event.after for event in it.of(LifeChanged)} >= {Life.STOPPED}
