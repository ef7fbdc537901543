"""The sandbox on a port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, cast

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.runtime.http_server import HttpServer, ServerPolicy
from node.runtime.tasks import TaskOwner
from node.sandbox.faults import TRANSPORT

_BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class ServerHandle:
    """A server that runs: where it is reached."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its base URL, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _Protocol(HttpToolsProtocol):
    """Leaves the connection's transport in the scope, so that a fault can close it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, object]", self.scope)[TRANSPORT] = self.transport


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    tasks: TaskOwner,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    keep_alive_s: int = 75,
    grace_s: int = 5,
) -> AsyncIterator[ServerHandle]:
    """Serve an application within the block; port 0 is a free one.

    An idle connection is closed after ``keep_alive_s``. At the block's end no connection is taken any more, and
    requests under way have ``grace_s`` seconds.

    Raises:
        InvalidInput: the address is taken, not this machine's, or not allowed.
    """
    policy = ServerPolicy("gateway", host, port, backlog=_BACKLOG, keep_alive_s=keep_alive_s, grace_s=grace_s)
    async with HttpServer(app, tasks, policy, _Protocol) as server:
        yield ServerHandle(server.host, server.port)
