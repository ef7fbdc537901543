"""A fleet from its start to its end, and nodes that come back whatever happened to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import cycle, islice

import pytest

from node.domain.errors import IdentityRefused, StepFault
from node.domain.events import Crash, Event, JobClaimed, JobEnded, LifeChanged, PollStarted
from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.policies import StaggerPolicy
from node.domain.proxies import ProxyAddress
from node.domain.states import Life
from node.manager.manager import NodeManager
from node.outbox.sender import Sender
from tests.support.bench import POLICY, Bench, job, led_node, spec, until
from tests.support.script import ScriptedLink, ScriptedLinks, ScriptedSource
from tests.support.virtual_time import in_virtual_time

AT_ONCE = StaggerPolicy(min_s=0, max_s=0, spacing_s=0, jitter_s=0)


def roster(count: int, accounts: int = 5) -> list[NodeSpec]:
    names = (f"n{number:03}" for number in range(count))
    return [spec(name, account=account) for name, account in zip(names, cycle("abcdefgh"[:accounts]), strict=False)]


@contextlib.asynccontextmanager
async def running(bench: Bench, count: int, stagger: StaggerPolicy = AT_ONCE) -> AsyncIterator[NodeManager]:
    """A fleet that runs within the block, and is aborted at its end."""
    manager = NodeManager(roster(count), bench.around(), stagger)
    async with bench.sending():
        task = asyncio.create_task(manager.run())
        try:
            yield manager
        finally:
            manager.abort()
            await task


def all_are(manager: NodeManager, life: Life) -> bool:
    return all(node.life is life for node in manager.nodes.values())


# Defects.


class PlantedDefect(ScriptedLinks):
    """A link whose source is broken until it is mended."""

    def __init__(self, bench: Bench, defect: Callable[[], BaseException]) -> None:
        super().__init__(bench.script)
        self.defect: Callable[[], BaseException] | None = defect

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> ScriptedLink:
        link = super().open(spec, proxy, on_lost)
        links = self

        class Broken(ScriptedSource):
            async def claim(self, still_wanted: object = None) -> None:
                if links.defect is not None:
                    raise links.defect()
                await super().claim()

        link.source = Broken(self.script, link.membership, self.results)
        return link


@in_virtual_time
async def test_a_defect_is_told_and_the_node_comes_back() -> None:
    bench = Bench()
    bench.links = PlantedDefect(bench, lambda: ZeroDivisionError("planted"))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        assert led.node.life is Life.RECOVERING
        crashes = bench.events.of(Crash)
        assert [(crash.task, crash.error, crash.node) for crash in crashes] == [("node n1", "ZeroDivisionError", "n1")]
        assert "claim" in crashes[0].trace
        assert bench.links.current.closed == 1, "its session must not be kept alive for a node that rests"
        await until(lambda: len(bench.events.of(Crash)) == 3)
        bench.links.defect = None
        await until(lambda: led.node.life is Life.RUNNING)
        await asyncio.sleep(60)
        assert led.node.life is Life.RUNNING


class BrokenSender(Sender):
    """Has a defect that shows only in a drain."""

    async def flushed(self, node: NodeId, timeout_s: float) -> bool:
        raise ZeroDivisionError("planted")


@in_virtual_time
async def test_a_defect_in_a_drain_stops_the_node_and_its_jobs_are_answered() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.executor.seconds = 20
    bench.sender = BrokenSender(bench.outbox, bench.clock, bench.random, bench.events, bench.outbox_policy)
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.drain()
        await led.ended_within(60)
        assert led.node.life is Life.STOPPED
        assert len(bench.events.of(Crash)) == 1
        assert [event.error for event in bench.events.of(JobEnded)] == [""]


# The fleet.


@in_virtual_time
async def test_all_nodes_fail_at_once_and_all_come_back() -> None:
    bench = Bench()
    async with running(bench, 50) as manager:
        await until(lambda: all_are(manager, Life.RUNNING))
        bench.script.always["poll"] = StepFault("HTTP 302")
        await until(lambda: all_are(manager, Life.RECOVERING), within_s=6)
        bench.script.always["poll"] = None
        await until(lambda: all_are(manager, Life.RUNNING), within_s=POLICY.recovery.high + 1)
        polls = {event.node for event in bench.events.of(PollStarted)[-50:]}
        await asyncio.sleep(10)
        polls = {event.node for event in bench.events.of(PollStarted)[-100:]}
        assert len(polls) == 50, "a node that came back really polls"


@in_virtual_time
async def test_starts_are_staggered() -> None:
    bench = Bench()
    stagger = StaggerPolicy(min_s=1, max_s=500, spacing_s=5, jitter_s=1)
    async with running(bench, 20, stagger) as manager:
        began = bench.began
        started: dict[NodeId, float] = {}

        def listen(event: Event) -> None:
            if isinstance(event, LifeChanged) and event.after is Life.STARTING:
                started[event.node] = bench.clock.monotonic() - began

        bench.events.listener = listen
        await asyncio.sleep(manager.last_start_s + 1)
        assert len(started) == 20
        assert max(started.values()) == pytest.approx(manager.last_start_s)
        for account in range(5):
            of_account = sorted(started[name] for name in islice(manager.nodes, account, None, 5))
            assert of_account[-1] - of_account[0] == pytest.approx(15, abs=1)
        assert min(started.values()) >= 1
        assert max(started.values()) >= 500


@pytest.mark.parametrize("stop", ["drain", "abort"])
@pytest.mark.parametrize("when_s", [0, 100, 530])
def test_two_hundred_nodes_stop_together(stop: str, when_s: float) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.script.plan("poll", *[job(f"j{number}") for number in range(40)])
        bench.executor.seconds = 500
        stagger = StaggerPolicy(min_s=0, max_s=500, spacing_s=1, jitter_s=1)
        manager = NodeManager(roster(200, accounts=8), bench.around(), stagger)
        async with bench.sending():
            task = asyncio.create_task(manager.run())
            if when_s:
                await asyncio.sleep(when_s)
            started = bench.now
            getattr(manager, stop)()
            await asyncio.wait([task], timeout=60)
            assert task.done()
            assert bench.now - started <= (46 if stop == "drain" else 1)
            assert all_are(manager, Life.STOPPED)
            assert len(bench.events.of(JobClaimed)) == len(bench.events.of(JobEnded))
            if when_s == 530:
                assert len(bench.events.of(JobClaimed)) == 40
                assert bench.outbox.count() + len(bench.results) == 40
                assert bench.script.steps.count("leave") == (200 if stop == "drain" else 0)

    scenario()


@in_virtual_time
async def test_it_ends_by_itself_when_every_life_is_over() -> None:
    bench = Bench()
    bench.script.always["secret"] = IdentityRefused("denied")
    manager = NodeManager(roster(3), bench.around(), AT_ONCE)
    await manager.run()
    assert manager.failed() == ("n000", "n001", "n002")


@in_virtual_time
async def test_a_fleet_without_nodes_is_over_at_once() -> None:
    manager = NodeManager([], Bench().around(), AT_ONCE)
    assert manager.last_start_s == 0
    await manager.run()


@in_virtual_time
async def test_a_cancelled_run_leaves_no_node_behind() -> None:
    bench = Bench()
    bench.executor.seconds = 100
    bench.script.plan("poll", job("a"))
    manager = NodeManager(roster(10), bench.around(), AT_ONCE)
    async with bench.sending():
        task = asyncio.create_task(manager.run())
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all_are(manager, Life.STOPPED)
        assert len(bench.events.of(JobEnded)) == 1
        assert all(link.closed for link in bench.links.links)
