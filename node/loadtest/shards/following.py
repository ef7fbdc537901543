"""A shard's run, led from outside."""

from __future__ import annotations

import asyncio

from node.loadtest.driver.run import LoadRun, ShardRecord
from node.loadtest.shards.messages import Leave, Order, Pause, Ready, Settled, ShardStanding, Start, Stop
from node.loadtest.shards.news import Newsroom
from node.loadtest.shards.pool import ShardLink
from node.runtime.tasks import TaskOwner


async def carry_out(run: LoadRun, link: ShardLink, ready: Ready, tasks: TaskOwner) -> ShardRecord | None:
    """Begin when told to, say how it stands, stay as long as others need it; None when nobody wants it to begin.

    Who leads may vanish: then the run ends at once. ``tasks`` owns what listens.
    """
    start: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    run.on_settled = lambda: link.tell(Settled())
    link.tell(ready)
    listening = tasks.start(_listen(run, link, start), "orders to the shard")
    try:
        at = await start
        return None if at is None else await run.run(at)
    finally:
        listening.cancel()


def standing_of(run: LoadRun, news: Newsroom) -> ShardStanding:
    """How a run stands, with the news since the last time."""
    mustered = run.muster.count()
    return ShardStanding(
        phase=run.phase,
        is_paused=run.is_paused,
        elapsed_s=run.elapsed_s,
        running=mustered.running,
        states=mustered.states,
        levels=dict(run.levels),
        news=news.latest(),
    )


async def _listen(run: LoadRun, link: ShardLink, start: asyncio.Future[float | None]) -> None:
    while (order := await link.next_order()) is not None:
        _obey(run, order, start)
    run.abort()
    _settle(start, None)


def _obey(run: LoadRun, order: Order, start: asyncio.Future[float | None]) -> None:
    match order:
        case Start(at=at):
            _settle(start, at)
        case Leave():
            run.may_leave.set()
        case Pause(on=on):
            if on:
                run.pause()
            else:
                run.resume()
        case Stop(at_once=True):
            run.abort()
            _settle(start, None)
        case Stop():
            run.stop()


def _settle(start: asyncio.Future[float | None], at: float | None) -> None:
    if not start.done():
        start.set_result(at)
