"""The ASGI application: every endpoint of the gateway and of its auth service."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from typing import Final, cast

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.domain.errors import NodeError, StorageError
from node.ports.clock import Clock
from node.sandbox.developer_routes import DeveloperRoutes
from node.sandbox.faults import IP_PATH
from node.sandbox.gateway import Gateway
from node.sandbox.node_routes import NodeRoutes
from node.sandbox.polling import POLL_PATH, PollEndpoint
from node.sandbox.refusals import Refusal
from node.sandbox.replies import invalid_reply, json_reply, refusal_reply

DEFAULT_MAX_BYTES: Final = 16 * 1024 * 1024


def create_app(gateway: Gateway, *, max_request_bytes: int = DEFAULT_MAX_BYTES, more: Sequence[Route] = ()) -> ASGIApp:
    """The application over these rules; ``more`` are routes beside the gateway's own.

    A request whose body has more than ``max_request_bytes`` is answered 413.
    """
    rest = Starlette(
        routes=[
            *NodeRoutes(gateway, max_request_bytes).routes(),
            *DeveloperRoutes(gateway, max_request_bytes).routes(),
            Route(IP_PATH, _ip, methods=["GET"], name="ip"),
            *more,
        ],
        exception_handlers={
            Refusal: _on_refusal,
            StorageError: _on_refusal,
            ValidationError: _on_invalid,
            HTTPException: _on_http_error,
            Exception: _on_defect,
        },
    )
    rest.router.redirect_slashes = False
    return _PollFirst(PollEndpoint(gateway), rest)


class _PollFirst:
    """Takes polls past the framework."""

    def __init__(self, poll: ASGIApp, rest: ASGIApp) -> None:
        self._poll = poll
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == POLL_PATH:
            await self._poll(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class Dated:
    """Adds the header ``Date`` by an injected clock, where no server does: nodes judge a token's end by it."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, dated."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._clock.wall(), usegmt=True).encode()
                await send({**message, "headers": [*message["headers"], (b"date", date)]})
            else:
                await send(message)

        await self._app(scope, receive, dated)


async def _ip(request: Request) -> Response:
    """The address that the request came from: what a node compares to see whether its proxy is used."""
    return json_reply({"ip": request.client.host if request.client else None})


async def _on_refusal(_request: Request, error: Exception) -> Response:
    return refusal_reply(cast("NodeError", error))


async def _on_invalid(_request: Request, error: Exception) -> Response:
    return invalid_reply(cast("ValidationError", error))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    return json_reply({"detail": refused.detail}, refused.status_code)


async def _on_defect(_request: Request, _error: Exception) -> Response:
    return json_reply({"detail": "Internal Server Error"}, 500)
