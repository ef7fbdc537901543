"""What the port of the live page answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from node.domain.secret import Secret
from node.loadtest.live.feed import Feed
from node.loadtest.live.guard import is_of_own_page, is_of_this_machine, may_order
from node.loadtest.live.markup import LivePage
from node.loadtest.live.watched import WatchedRun

_Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_FRESH_S: Final = 0.9
"""How long metrics are told again as they were: writing them takes milliseconds of the loop's time."""

_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class LiveRoutes:
    """The routes over one run.

    - ``GET /``: the page. ``GET /state``: how the run stands, as JSON. ``GET /metrics``: Prometheus' text format.
    - ``GET /events``: see `Feed.events`; 503 when there are readers enough.
    - ``POST /start``, ``/pause``, ``/resume``, ``/stop`` with ``X-Run-Token``: the order is given, and the state
      after it told; 403 with another token or none, or from another site's page.

    Whatever is asked by a name that is not this machine's is answered with 421.
    """

    def __init__(
        self,
        run: WatchedRun,
        feed: Feed,
        page: LivePage,
        token: Secret,
        metrics: Callable[[WatchedRun], bytes],
    ) -> None:
        self._run = run
        self._feed = feed
        self._page = page
        self._token = token
        self._metrics = metrics
        self._metrics_told = b""
        self._metrics_at = -math.inf

    def app(self) -> Starlette:
        """The application."""
        orders: dict[str, Callable[[], None]] = {
            "/start": self._run.start,
            "/pause": self._run.pause,
            "/resume": self._run.resume,
            "/stop": self._run.stop,
        }
        app = Starlette(
            routes=[
                Route("/", _guarded(self._whole), methods=["GET"]),
                Route("/state", _guarded(self._standing), methods=["GET"]),
                Route("/events", _guarded(self._events), methods=["GET"]),
                Route("/metrics", _guarded(self._exposition), methods=["GET"]),
                *(Route(path, _guarded(self._ordering(order)), methods=["POST"]) for path, order in orders.items()),
            ],
            exception_handlers={HTTPException: _on_http_error},
        )
        app.router.redirect_slashes = False
        return app

    async def _whole(self, _request: Request) -> Response:
        headers = {**_HEADERS, "content-security-policy": self._page.policy}
        return Response(self._page.html, media_type="text/html", headers=headers)

    async def _standing(self, request: Request) -> Response:
        _refuse_other_sites(request)
        return self._state()

    async def _events(self, request: Request) -> Response:
        _refuse_other_sites(request)
        if self._feed.is_full:
            raise HTTPException(503, "too many are reading", {"retry-after": "5"})
        return StreamingResponse(self._feed.events(), media_type="text/event-stream", headers=_HEADERS)

    async def _exposition(self, request: Request) -> Response:
        _refuse_other_sites(request)
        now = asyncio.get_running_loop().time()
        if now - self._metrics_at >= _FRESH_S:
            self._metrics_told, self._metrics_at = self._metrics(self._run), now
        return Response(self._metrics_told, headers={**_HEADERS, "content-type": CONTENT_TYPE_LATEST})

    def _ordering(self, order: Callable[[], None]) -> _Handler:
        async def obey(request: Request) -> Response:
            if not may_order(request.headers, self._token):
                raise HTTPException(403, "this page may not steer the run, or is of an earlier one: load it again")
            order()
            return self._state()

        return obey

    def _state(self) -> Response:
        return Response(self._feed.state(), media_type="application/json", headers=_HEADERS)


def _guarded(handler: _Handler) -> _Handler:
    async def guarded(request: Request) -> Response:
        if not is_of_this_machine(request.headers):
            raise HTTPException(421, "this is the machine's own: ask for 127.0.0.1 or localhost")
        return await handler(request)

    return guarded


def _refuse_other_sites(request: Request) -> None:
    if not is_of_own_page(request.headers):
        raise HTTPException(403, "other sites may not read this")


async def _on_http_error(_request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    return JSONResponse({"detail": refused.detail}, refused.status_code, {**_HEADERS, **(refused.headers or {})})
