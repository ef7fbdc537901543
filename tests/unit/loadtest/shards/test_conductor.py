"""One who leads: to shards that are played by the test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.domain.errors import ShardsFailed
from node.loadtest.driver.run import Phase, Times
from node.loadtest.figures.figures import Figures
from node.loadtest.shards.conductor import Conductor, LeadPolicy
from node.loadtest.shards.merging import Gathered
from node.loadtest.shards.messages import (
    Failed,
    Finished,
    Leave,
    Order,
    Pause,
    Ready,
    Report,
    Settled,
    Start,
    Stop,
)
from node.loadtest.shards.news import Newsroom
from node.loadtest.shards.pool import Gone
from node.loadtest.shards.record import to_document
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.loadtest.shards.toy import standing, toy_record

POLICY = LeadPolicy(ready_s=10.0, lead_s=1.0, silent_s=20.0, abort_s=5.0)


@dataclass
class Played:
    """See `node.loadtest.shards.pool.ShardChannel`."""

    said: asyncio.Queue[Report | Gone] = field(default_factory=asyncio.Queue)
    told: list[Order] = field(default_factory=list)
    is_killed: bool = False

    def send(self, order: Order) -> None:
        self.told.append(order)

    async def receive(self) -> Report | Gone:
        return await self.said.get()

    def kill(self) -> None:
        self.is_killed = True
        self.said.put_nowait(Gone("killed"))

    def say(self, *reports: Report | Gone) -> None:
        for report in reports:
            self.said.put_nowait(report)


def ready(index: int, apart_s: float = 0.0) -> Ready:
    return Ready(nodes=(f"node-{index}",), wall=VirtualClock().wall() + apart_s)


def finished(index: int, **changes: Any) -> Finished:
    return Finished(record=to_document(toy_record(index, Times(1.0, 2.0, 3.0))) | changes)


class Led:
    def __init__(self, count: int) -> None:
        self.words: list[str] = []
        self.shards = [Played() for _ in range(count)]
        self.conductor = Conductor(VirtualClock(), POLICY, self.words.append)
        self.task: asyncio.Task[Gathered] = asyncio.create_task(self.conductor.lead(self.shards))


@in_virtual_time
async def test_all_are_told_one_time_when_all_are_ready() -> None:
    led = Led(2)
    led.shards[0].say(ready(0))
    await asyncio.sleep(3)
    assert led.shards[0].told == []
    led.shards[1].say(ready(1))
    await asyncio.sleep(0.1)
    (start,) = led.shards[0].told
    assert led.shards[1].told == [start]
    assert isinstance(start, Start)
    assert start.at == pytest.approx(VirtualClock().wall() + 0.9)
    assert led.conductor.start_at == start.at
    led.shards[0].say(finished(0))
    led.shards[1].say(finished(1))
    gathered = await led.task
    assert sorted(gathered.records) == [0, 1]
    assert not gathered.lost


@in_virtual_time
async def test_the_word_to_leave_waits_for_those_that_live() -> None:
    led = Led(3)
    for index, shard in enumerate(led.shards):
        shard.say(ready(index))
    await asyncio.sleep(2)
    led.shards[0].say(Settled())
    led.shards[2].say(Gone("dead"))
    await asyncio.sleep(1)
    assert Leave() not in led.shards[0].told
    led.shards[1].say(Settled())
    await asyncio.sleep(0.1)
    assert [shard.told.count(Leave()) for shard in led.shards] == [1, 1, 0]
    for index in (0, 1):
        led.shards[index].say(finished(index))
    gathered = await led.task
    (lost,) = gathered.lost
    assert (lost.index, lost.why, lost.nodes) == (2, "dead", ("node-2",))
    assert led.words == ["Shard 2 of 3 was lost: dead"]


@in_virtual_time
async def test_one_that_fails_before_the_begin_ends_all() -> None:
    led = Led(2)
    led.shards[0].say(ready(0))
    led.shards[1].say(Failed(reason="no gateway"))
    await asyncio.sleep(0.1)
    assert led.shards[0].told == [Stop(at_once=True)]
    led.shards[0].say(Gone("it ended"))
    with pytest.raises(ShardsFailed, match="shard 1 of 2 could not begin: no gateway"):
        await led.task


@in_virtual_time
async def test_one_that_is_never_ready_is_not_waited_for_without_end() -> None:
    led = Led(2)
    led.shards[0].say(ready(0))
    await asyncio.sleep(10.5)
    assert led.shards[1].is_killed
    led.shards[0].say(Gone("it ended"))
    with pytest.raises(ShardsFailed, match="nothing was heard of it for 10 s"):
        await led.task


@in_virtual_time
async def test_one_that_falls_silent_is_lost_when_it_was_last_heard_of() -> None:
    led = Led(1)
    news = Newsroom(Figures())
    led.shards[0].say(ready(0))
    await asyncio.sleep(5)
    led.shards[0].say(standing(Phase.LOAD, news))
    heard_at = VirtualClock().wall()
    (lost,) = (await led.task).lost
    assert lost.why == "nothing was heard of it for 20 s"
    assert lost.at == pytest.approx(heard_at)
    assert lost.running == 1
    assert led.shards[0].is_killed


@in_virtual_time
async def test_orders_go_to_all_that_live_and_an_abort_ends_who_does_not_obey() -> None:
    led = Led(2)
    for index, shard in enumerate(led.shards):
        shard.say(ready(index))
    await asyncio.sleep(1)
    led.conductor.pause(on=True)
    led.conductor.pause(on=False)
    led.conductor.stop()
    led.shards[0].say(finished(0))
    await asyncio.sleep(0.1)
    led.conductor.abort()
    assert led.shards[0].told[1:] == [Pause(), Pause(on=False), Stop()]
    assert led.shards[1].told[1:] == [Pause(), Pause(on=False), Stop(), Stop(at_once=True)]
    gathered = await led.task
    assert led.shards[1].is_killed
    assert list(gathered.records) == [0]


@in_virtual_time
async def test_a_stop_that_comes_before_the_shards_are_there_is_told_them_all_the_same() -> None:
    conductor = Conductor(VirtualClock(), POLICY, lambda _: None)
    conductor.stop()
    shard = Played()
    shard.say(ready(0), finished(0))
    await conductor.lead([shard])
    assert shard.told[0] == Stop()


@in_virtual_time
async def test_a_record_or_news_that_cannot_be_read_lose_the_shard() -> None:
    led = Led(2)

    def hear(index: int, _: object) -> None:
        raise ValueError("no news")

    led.conductor.on_standing = hear
    for index, shard in enumerate(led.shards):
        shard.say(ready(index))
    await asyncio.sleep(0.1)
    led.shards[0].say(finished(0, v=99))
    led.shards[1].say(standing(Phase.LOAD, Newsroom(Figures())))
    gathered = await led.task
    assert {one.index: one.why for one in gathered.lost} == {0: "a record of version 99 is not known", 1: "no news"}


@in_virtual_time
async def test_a_clock_that_is_apart_is_told_of() -> None:
    led = Led(2)
    led.shards[0].say(ready(0, 0.1), finished(0))
    led.shards[1].say(ready(1, -3.0), finished(1))
    await led.task
    (note,) = led.conductor.notes
    assert note.startswith("the clock of shard 1 is 3.0 s behind this machine's")
