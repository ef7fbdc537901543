"""The way from the nodes to their gateway, which can be cut."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from node.domain.errors import ConnectFailed
from node.domain.proxies import ProxyAddress
from node.ports.transport import Reply, Request, Transport, TransportFactory
from node.runtime.tasks import TaskOwner


class Line:
    """A `TransportFactory` whose transports can all be cut, or a single one for good.

    While it is cut no request goes out: exchanges under way end with a `TransportError`, connections are closed, and
    whoever asks finds nobody there. ``tasks`` owns the closing.
    """

    def __init__(self, transports: TransportFactory, tasks: TaskOwner) -> None:
        self._transports = transports
        self._tasks = tasks
        self._open: dict[LineTransport, None] = {}
        self._cuts = 0

    @property
    def is_cut(self) -> bool:
        """Whether nothing goes through."""
        return self._cuts > 0

    def open(self, proxy: ProxyAddress | None) -> LineTransport:
        """See `node.ports.transport.TransportFactory.open`."""
        transport = LineTransport(self, proxy)
        self._open[transport] = None
        return transport

    def cut(self) -> None:
        """Cut it; as many calls of `mend` make it whole again."""
        self._cuts += 1
        self._let_go(list(self._open))

    def mend(self) -> None:
        """Take one cut back."""
        self._cuts -= 1

    def sever(self, transport: LineTransport) -> None:
        """Cut a single transport for good."""
        self.forget(transport)
        self._let_go([transport])

    def forget(self, transport: LineTransport) -> None:
        """A transport is closed; for `LineTransport` alone."""
        self._open.pop(transport, None)

    def connect(self, transport: LineTransport) -> Transport:
        """What carries a transport's requests from now on; for `LineTransport` alone.

        Raises:
            ConnectFailed: the line is cut, or the transport severed or closed.
        """
        if self._cuts:
            raise ConnectFailed("the gateway is out of reach: the plan has cut the network")
        if transport not in self._open:
            raise ConnectFailed("the transport is closed")
        return self._transports.open(transport.proxy)

    def _let_go(self, transports: Iterable[LineTransport]) -> None:
        inner = [found for transport in transports if (found := transport.release()) is not None]
        if inner:
            self._tasks.start(_close(inner), "close cut connections")


async def _close(transports: Iterable[Transport]) -> None:
    for transport in transports:
        await transport.aclose()


class LineTransport:
    """Carries one node's requests while the line is whole; see `node.ports.transport.Transport`."""

    __slots__ = ("_inner", "_line", "proxy")

    def __init__(self, line: Line, proxy: ProxyAddress | None) -> None:
        """Made by `Line.open`."""
        self.proxy = proxy
        self._line = line
        self._inner: Transport | None = None

    def exchange(self, request: Request, timeout_s: float) -> Coroutine[Any, Any, Reply]:
        """See `node.ports.transport.Transport.exchange`."""
        # Handed on, not awaited: every request of a fleet would pass through here once more, both ways.
        inner = self._inner
        return self._first_exchange(request, timeout_s) if inner is None else inner.exchange(request, timeout_s)

    def release(self) -> Transport | None:
        """Give up what carries the requests now, for `Line` to close."""
        inner, self._inner = self._inner, None
        return inner

    async def aclose(self) -> None:
        """See `node.ports.transport.Transport.aclose`."""
        inner = self.release()
        self._line.forget(self)
        if inner is not None:
            await inner.aclose()

    async def _first_exchange(self, request: Request, timeout_s: float) -> Reply:
        if self._inner is None:
            self._inner = self._line.connect(self)
        return await self._inner.exchange(request, timeout_s)
