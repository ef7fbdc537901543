"""The health and control port: uvicorn on the loop that runs."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import uvicorn

from node.domain.errors import InputFault, InvalidInput
from node.domain.events import Crash
from node.domain.secret import Secret
from node.observability.health_routes import HealthRoutes
from node.ports.control import Control, StatusSource
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

_BACKLOG: Final = 128
_KEEP_ALIVE_S: Final = 30


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Where the port is, and who may steer the node by it."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 is a free one."""
    token: Secret = Secret("")
    """What orders must bear; while it is empty all are refused."""
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


class HealthServer:
    """Serves `HealthRoutes` within ``async with``, or from `start` to `stop`; it cannot be started twice.

    ``metrics`` gives Prometheus' text, ``lag_s`` how late the loop was of late in seconds. ``redact`` masks secrets
    in what is told; ``on_crash`` hears of a defect of the server itself.
    """

    def __init__(
        self,
        policy: HealthPolicy,
        status: StatusSource,
        control: Control,
        metrics: Callable[[], bytes],
        *,
        lag_s: Callable[[], float],
        on_crash: Callable[[Crash], object],
        redact: Callable[[str], str] = str,
    ) -> None:
        self._policy = policy
        self._routes = HealthRoutes(status, control, metrics, policy.token, lag_s, redact)
        self._tasks = TaskOwner(on_crash)
        self._serves = Signal()
        self._server: _Server | None = None
        self._address = (policy.host, policy.port)

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._address[1]

    @property
    def url(self) -> str:
        """Its base URL, without a trailing slash."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen and answer, until `stop`.

        Raises:
            InvalidInput: the address is taken, not this machine's, or not allowed; the fault says what to do.
        """
        listener = _listen(self._policy.host, self._policy.port)
        self._address = listener.getsockname()[:2]
        config = uvicorn.Config(
            self._routes.app(),
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=self._policy.grace_s,
        )
        self._server = _Server(config, self._serves)
        self._tasks.start(self._server.serve(sockets=[listener]), name="health server", on_done=self._serves.set)

    async def stop(self) -> None:
        """Take no more connections, let requests under way end, and close. A second call does nothing."""
        if self._server is not None:
            # Told to exit while it starts, uvicorn leaves its listener open.
            await self._serves.wait()
            self._server.should_exit = True
        await self._tasks.join()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off for the connections.
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
    place = f"health address {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return InputFault(
            place,
            "the port is taken by another program, perhaps by another node",
            "choose another, or 0 for a free one",
        )
    said = error.strerror or str(error)
    return InputFault(place, said, "choose an address of this machine and a port that you may use")
