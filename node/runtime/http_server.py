"""An ASGI application on a port: uvicorn with httptools on the loop that runs, stopped gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.domain.errors import InputFault, InvalidInput
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """Where a server listens, and how long its connections last; ``name`` is what people call it."""

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    """0 is a free one."""
    backlog: int = 128
    """Connections that wait to be taken."""
    keep_alive_s: int = 30
    """Time that an idle connection is kept."""
    grace_s: int = 2
    """Time that requests under way have at the end."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the program it runs in, and tells when it takes connections."""

    def __init__(self, config: uvicorn.Config, serves: Signal) -> None:
        super().__init__(config)
        self._serves = serves

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._serves.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Serves an application within ``async with``, or from `start` to `stop`; it cannot be started twice.

    ``protocol`` is what handles each connection.
    """

    def __init__(
        self,
        app: ASGIApp,
        tasks: TaskOwner,
        policy: ServerPolicy,
        protocol: type[HttpToolsProtocol] = HttpToolsProtocol,
    ) -> None:
        self._app = app
        self._tasks = tasks
        self._policy = policy
        self._protocol = protocol
        self._serves = Signal()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._address = (policy.host, policy.port)

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._address[0]

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._address[1]

    @property
    def url(self) -> str:
        """Its base URL for programs on this machine, without a trailing slash."""
        host = _reachable(self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen and answer, until `stop`.

        Raises:
            InvalidInput: the address is taken, not this machine's, or not allowed; the fault says what to do.
        """
        listener = _listen(self._policy)
        self._address = listener.getsockname()[:2]
        config = uvicorn.Config(
            self._app,
            http=self._protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._policy.keep_alive_s,
            timeout_graceful_shutdown=self._policy.grace_s,
        )
        self._server = _Server(config, self._serves)
        serving = self._server.serve(sockets=[listener])
        self._serving = self._tasks.start(serving, name=f"{self._policy.name} server", on_done=self._serves.set)

    async def stop(self) -> None:
        """Take no more connections, let requests under way end, and close. A second call does nothing."""
        if self._server is not None and self._serving is not None:
            # Told to exit while it starts, uvicorn leaves its listener open.
            await self._serves.wait()
            self._server.should_exit = True
            await asyncio.wait([self._serving])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _reachable(host: str) -> str:
    """The address by which what listens on ``host`` is reached from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _listen(policy: ServerPolicy) -> socket.socket:
    family = socket.AF_INET6 if ":" in policy.host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off for the connections; without, each
    # reply of two segments would wait 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((policy.host, policy.port))
        listener.listen(policy.backlog)
    except OSError as error:
        listener.close()
        raise InvalidInput([_fault(policy, error)]) from error
    return listener


def _fault(policy: ServerPolicy, error: OSError) -> InputFault:
    place = f"{policy.name} address {policy.host}:{policy.port}"
    if error.errno == errno.EADDRINUSE:
        return InputFault(place, "the port is taken by another program", "choose another port, or 0 for a free one")
    said = error.strerror or str(error)
    return InputFault(place, said, "choose an address of this machine and a port that you may use")
