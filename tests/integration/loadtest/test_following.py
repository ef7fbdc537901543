"""A shard's run in virtual time, led by the test."""

from __future__ import annotations

import asyncio

from node.loadtest.driver.run import Phase, ShardRecord
from node.loadtest.shards.following import carry_out, standing_of
from node.loadtest.shards.messages import Leave, Order, Pause, Ready, Report, Settled, Start, Stop
from node.loadtest.shards.news import Newsroom
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from tests.integration.loadtest.world import World, plan_text, world
from tests.support.virtual_time import VirtualClock, in_virtual_time


class Link:
    """See `node.loadtest.shards.pool.ShardLink`."""

    def __init__(self) -> None:
        self.told: list[Report] = []
        self.orders: asyncio.Queue[Order | None] = asyncio.Queue()

    def tell(self, report: Report) -> None:
        self.told.append(report)

    async def next_order(self) -> Order | None:
        return await self.orders.get()


class Led:
    def __init__(self, it: World) -> None:
        self.link = Link()
        tasks = TaskOwner(it.crashes.append)
        ready = Ready(nodes=("node",), wall=VirtualClock().wall())
        self.record: asyncio.Task[ShardRecord | None] = asyncio.create_task(carry_out(it.run, self.link, ready, tasks))

    async def order(self, *orders: Order | None, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        for one in orders:
            self.link.orders.put_nowait(one)
        await asyncio.sleep(0)


def at(delay_s: float) -> Start:
    return Start(at=VirtualClock().wall() + delay_s)


@in_virtual_time
async def test_it_begins_when_it_is_told_to_and_stays_as_long_as_others_need_it() -> None:
    async with world(plan_text()) as it:
        it.run.may_leave = Signal()
        led = Led(it)
        start = at(5.0)
        await led.order(start, after_s=1.0)
        await asyncio.sleep(20)
        assert led.link.told[-1] == Settled()
        assert it.run.phase is Phase.SETTLING
        await asyncio.sleep(4)
        assert len(it.run.fleet) == 10
        standing = standing_of(it.run, Newsroom(it.run.figures))
        assert (standing.running, standing.phase, standing.news["counts"]["submitted"]) == (10, Phase.SETTLING, 100)
        await led.order(Leave())
        record = await led.record
    assert record is not None
    assert abs(record.times.begun_at - start.at) < 0.01
    assert record.is_settled
    assert led.link.told.count(Settled()) == 1


@in_virtual_time
async def test_without_a_word_it_leaves_when_the_time_to_settle_is_over() -> None:
    async with world(plan_text(settle="8s")) as it:
        it.run.may_leave = Signal()
        led = Led(it)
        await led.order(at(0.0))
        record = await led.record
    assert record is not None
    assert record.is_settled
    assert 19 < record.times.settled_at - record.times.begun_at < 23


@in_virtual_time
async def test_it_pauses_and_stops() -> None:
    async with world(plan_text()) as it:
        led = Led(it)
        await led.order(at(0.0))
        await led.order(Pause(), after_s=4.0)
        assert it.run.is_paused
        await led.order(Pause(on=False), after_s=3.0)
        assert not it.run.is_paused
        await led.order(Stop(), after_s=2.0)
        record = await led.record
    assert record is not None
    assert record.is_cut_short
    assert record.paused_s > 2.9
    assert record.times.load_ended_at - record.times.begun_at < 9.5


@in_virtual_time
async def test_who_is_not_led_any_more_ends() -> None:
    for before, wanted in ((None, False), (Stop(at_once=True), False), (at(0.0), True)):
        async with world(plan_text()) as it:
            led = Led(it)
            await led.order(before)
            await led.order(None, after_s=3.0)
            record = await led.record
        assert (record is not None) is wanted
