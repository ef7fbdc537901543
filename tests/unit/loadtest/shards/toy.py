"""A shard that does nothing but keep to the words: it waits where it is told to, and dies where it is to die."""

from __future__ import annotations

import asyncio
import json
import os
import time

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.driver.run import Phase, ShardRecord, Times
from node.loadtest.figures.figures import Count, Figures
from node.loadtest.figures.health import Health
from node.loadtest.shards.messages import Failed, Finished, Leave, Pause, Ready, Settled, ShardStanding, Start, Stop
from node.loadtest.shards.news import Newsroom
from node.loadtest.shards.pool import ShardLink
from node.loadtest.shards.record import to_document


def toy_record(index: int, times: Times, *, is_settled: bool = True, is_cut_short: bool = False) -> ShardRecord:
    """A job was submitted by this shard, and is claimed and done by a node of the next one."""
    book, figures = Book(), Figures()
    book.submitted(JobId(f"job-{index}"), "m", times.begun_at, times.begun_at + 0.01)
    before, node = JobId(f"job-{index - 1}"), NodeId(f"node-{index}")
    book.claimed(before, node, times.begun_at + 1.0, "m")
    book.accepted(before, node, times.begun_at + 1.5, already=False)
    figures.counts[Count.SUBMITTED] += 1
    figures.series.count(Count.SUBMITTED, times.begun_at)
    return ShardRecord(times, figures, Health(), book, (JobId(f"job-{index}"),), (node,), is_settled, is_cut_short, ())


def standing(phase: Phase, news: Newsroom) -> ShardStanding:
    return ShardStanding(
        phase=phase, is_paused=False, elapsed_s=0.0, running=1, states={"idle": 1}, levels={}, news=news.latest()
    )


async def program(task: bytes, link: ShardLink) -> None:
    """See `node.loadtest.shards.pool.ShardProgram`; the task says what to do, as JSON."""
    told = json.loads(task)
    if reason := told.get("fails"):
        link.tell(Failed(reason=reason))
        return
    link.tell(Ready(nodes=(f"node-{told['index']}",), wall=time.time() + told.get("clock_s", 0.0)))
    stopped, at = asyncio.Event(), None
    while at is None:
        match await link.next_order():
            case Start(at=at):
                pass
            case Stop(at_once=True) | None:
                return
            case Stop():
                stopped.set()
    await asyncio.sleep(max(0.0, at - time.time()))
    news = Newsroom(Figures())
    link.tell(standing(Phase.LOAD, news))
    if told.get("hangs"):
        await asyncio.sleep(60)
    if told.get("dies"):
        await asyncio.sleep(0.2)
        _die()
    left = asyncio.create_task(_left(link, stopped))
    await asyncio.wait(
        [left, asyncio.create_task(stopped.wait())], timeout=told.get("busy_s", 0.0), return_when="FIRST_COMPLETED"
    )
    settled_at = time.time()
    link.tell(standing(Phase.SETTLING, news))
    link.tell(Settled())
    await left
    times = Times(at, settled_at, time.time())
    link.tell(Finished(record=to_document(toy_record(told["index"], times, is_cut_short=stopped.is_set()))))


def _die() -> None:
    os._exit(3)


async def _left(link: ShardLink, stopped: asyncio.Event) -> None:
    while (order := await link.next_order()) is not None:
        match order:
            case Leave():
                return
            case Stop(at_once=True):
                return
            case Stop():
                stopped.set()
            case Pause() | Start():
                pass
