"""The live page of a known run, on a port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node.domain.events import Crash
from node.domain.secret import Secret
from node.loadtest.live.feed import Feed
from node.loadtest.live.markup import live_page_markup
from node.loadtest.live.metrics import exposition
from node.loadtest.live.routes import LiveRoutes
from node.runtime.http_server import HttpServer, ServerPolicy
from node.runtime.tasks import TaskOwner
from tests.unit.loadtest.live.known_run import KnownRun

TOKEN = Secret("the-token")


@asynccontextmanager
async def served(run: KnownRun, *, port: int = 0, run_id: str = "one") -> AsyncIterator[str]:
    """As `node.loadtest.live.page.live_page`, in the run's own time; the URL."""
    crashes: list[Crash] = []
    feed = Feed(run, run_id, lambda: run.now)
    app = LiveRoutes(run, feed, live_page_markup(TOKEN, run.plan.name), TOKEN, exposition).app()
    async with HttpServer(app, TaskOwner(crashes.append), ServerPolicy("live page", port=port, grace_s=1)) as server:
        with feed.following():
            yield f"{server.url}/"
    assert crashes == []
