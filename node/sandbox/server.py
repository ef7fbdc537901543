"""The sandbox on a port: uvicorn with httptools on the loop that runs, stopped gracefully."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.domain.errors import InputFault, InvalidInput
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


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the program it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


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
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=grace_s,
    )
    server = _Server(config)
    address = listener.getsockname()
    serve = tasks.start(server.serve(sockets=[listener]), name="sandbox-server")
    try:
        yield ServerHandle(address[0], address[1])
    finally:
        server.should_exit = True
        await serve


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off for the connections; without, each
    # reply of two segments would wait 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidInput([_fault(host, port, error)]) from error
    return listener


def _fault(host: str, port: int, error: OSError) -> InputFault:
    place = f"gateway address {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return InputFault(place, "the port is taken by another program", "choose another port, or 0 for a free one")
    said = error.strerror or str(error)
    return InputFault(place, said, "choose an address of this machine and a port that you may use")
