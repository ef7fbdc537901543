"""The live page of a load test on a port of this machine."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from node.domain.events import Crash
from node.domain.secret import Secret
from node.loadtest.figures.recorder import steady_wall
from node.loadtest.live.feed import Feed
from node.loadtest.live.markup import live_page_markup
from node.loadtest.live.metrics import exposition
from node.loadtest.live.routes import LiveRoutes
from node.loadtest.live.watched import WatchedRun
from node.observability.last_resort import to_stderr
from node.runtime.http_server import HttpServer, ServerPolicy
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner


def _tell_crash(crash: Crash) -> None:
    to_stderr(f"{crash.task}: {crash.error}")


@asynccontextmanager
async def live_page(
    run: WatchedRun, port: int, *, on_crash: Callable[[Crash], object] = _tell_crash
) -> AsyncIterator[str]:
    """Serve the page within the block, to this machine alone; its URL. Port 0 is a free one.

    ``on_crash`` hears of a defect of the server.

    Raises:
        InvalidInput: the port is taken, or not allowed; the fault says what to do.
    """
    token = Secret(secrets.token_urlsafe(24))
    page = live_page_markup(token, run.plan.name)
    feed = Feed(run, secrets.token_hex(8), steady_wall(SystemClock()))
    app = LiveRoutes(run, feed, page, token, exposition).app()
    server = HttpServer(app, TaskOwner(on_crash), ServerPolicy("live page", "127.0.0.1", port, grace_s=1))
    async with server:
        with feed.following():
            yield f"{server.url}/"
