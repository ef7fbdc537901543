"""What the health and control port answers."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Callable
from typing import Final, cast

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.domain.secret import Secret
from node.observability.status_document import Json, checks_document, redacted, status_document
from node.ports.control import Control, StatusSource

_HEADERS: Final = {"cache-control": "no-store"}
_BEARER: Final = b"bearer "
_FRESH_S: Final = 0.25
"""How long metrics are told again as they were: writing them takes milliseconds of the loop's time."""


class HealthRoutes:
    """The routes over one node.

    - ``GET /health/live``: 200 with ``{"live": true, "loop_lag_s": …}``; no answer is the sign of a loop that stands.
    - ``GET /health/ready``: 200 while all checks hold, else 503; ``{"ready": …, "checks": [{name, ok, detail}]}``.
    - ``GET /health``: the same status and checks, and in short who the node is and what it does.
    - ``GET /metrics``: Prometheus' text format. ``GET /status.json``: all of `node.ports.control.Status`.
    - ``POST /control/pause``, ``resume``, ``drain`` with ``Authorization: Bearer <token>``: the status after it;
      202 for drain, which takes its time, and 401 with another token or none. With an empty token all are refused.
    """

    def __init__(
        self,
        status: StatusSource,
        control: Control,
        metrics: Callable[[], bytes],
        token: Secret,
        lag_s: Callable[[], float],
        redact: Callable[[str], str],
    ) -> None:
        self._status = status
        self._control = control
        self._metrics = metrics
        self._token = token
        self._lag_s = lag_s
        self._redact = redact
        self._metrics_told = b""
        self._metrics_at = -math.inf

    def app(self) -> Starlette:
        """The application."""
        app = Starlette(
            routes=[
                Route("/health", self._health, methods=["GET"]),
                Route("/health/live", self._live, methods=["GET"]),
                Route("/health/ready", self._ready, methods=["GET"]),
                Route("/metrics", self._exposition, methods=["GET"]),
                Route("/status.json", self._whole, methods=["GET"]),
                Route("/control/pause", self._pause, methods=["POST"]),
                Route("/control/resume", self._resume, methods=["POST"]),
                Route("/control/drain", self._drain, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _on_http_error, Exception: _on_defect},
        )
        app.router.redirect_slashes = False
        return app

    async def _live(self, _request: Request) -> Response:
        return self._reply({"live": True, "loop_lag_s": round(self._lag_s(), 4)})

    async def _ready(self, _request: Request) -> Response:
        checks = self._status.checks()
        ready = all(check.ok for check in checks)
        return self._reply({"ready": ready, "checks": checks_document(checks)}, 200 if ready else 503)

    async def _health(self, _request: Request) -> Response:
        checks = self._status.checks()
        ready = all(check.ok for check in checks)
        whole = status_document(self._status.status())
        brief = {name: whole[name] for name in ("node", "worker", "version", "life", "presence", "slots", "uptime_s")}
        return self._reply({"ready": ready, **brief, "checks": checks_document(checks)}, 200 if ready else 503)

    async def _whole(self, _request: Request) -> Response:
        return self._reply({**status_document(self._status.status()), "checks": checks_document(self._status.checks())})

    async def _exposition(self, _request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        if now - self._metrics_at >= _FRESH_S:
            self._metrics_told, self._metrics_at = self._metrics(), now
        return Response(self._metrics_told, headers={**_HEADERS, "content-type": CONTENT_TYPE_LATEST})

    async def _pause(self, request: Request) -> Response:
        return self._steer(request, self._control.pause, 200)

    async def _resume(self, request: Request) -> Response:
        return self._steer(request, self._control.resume, 200)

    async def _drain(self, request: Request) -> Response:
        return self._steer(request, self._control.drain, 202)

    def _steer(self, request: Request, order: Callable[[], None], status: int) -> Response:
        if not self._is_allowed(request):
            raise HTTPException(401, "the control token is missing or wrong", {"www-authenticate": "Bearer"})
        order()
        return self._reply(status_document(self._status.status()), status)

    def _is_allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("latin-1")
        token = self._token.reveal().encode()
        is_bearer = given[: len(_BEARER)].lower() == _BEARER
        return hmac.compare_digest(given[len(_BEARER) :], token) and is_bearer and bool(token)

    def _reply(self, content: dict[str, Json], status: int = 200) -> Response:
        return JSONResponse(redacted(content, self._redact), status, headers=_HEADERS)


async def _on_http_error(_request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    return JSONResponse({"detail": refused.detail}, refused.status_code, headers=refused.headers)


async def _on_defect(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"detail": "Internal Server Error"}, 500)
