"""The transport for many nodes: what httpx does, in a fiftieth of its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from node import __version__
from node.domain.errors import BrokenReply, ConnectFailed, ProxyFailed, TimedOut
from node.domain.proxies import ProxyAddress
from node.gateway.fast.connection import Connection, KeptClosed, NeverSent
from node.gateway.fast.heads import with_body
from node.gateway.fast.lane import Lane
from node.gateway.fast.pool import Overdue, Pool
from node.ports.transport import Reply, Request, Transport, TransportFactory
from node.runtime.signals import Signal

T = TypeVar("T")

_NO_REQUEST = Request("", "")


class FastTransportFactory:
    """Makes transports that share their connections, all that go by the same proxy or directly.

    They need a running loop. What they cannot do is left to ``others``: proxies by SOCKS or TLS, and with
    ``trust_env`` those that the environment names.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        others: TransportFactory,
        *,
        max_reply_bytes: int,
        trust_env: bool = False,
        user_agent: str = f"llm-worker-node/{__version__}",
    ) -> None:
        """Keep what all share. ``max_reply_bytes`` bounds a reply's body, compressed and decompressed."""
        self._tls = tls
        self._others = others
        self._max_reply_bytes = max_reply_bytes
        self._trust_env = trust_env
        self._common = f"user-agent: {user_agent}\r\naccept: application/json\r\naccept-encoding: identity\r\n"
        self._lanes: dict[ProxyAddress | None, Lane] = {}

    def open(self, proxy: ProxyAddress | None) -> Transport:
        """See `node.ports.transport.TransportFactory.open`."""
        if (proxy is None and self._trust_env) or (proxy is not None and proxy.scheme != "http"):
            return self._others.open(proxy)
        lane = self._lanes.get(proxy)
        if lane is None:
            lane = self._lanes[proxy] = Lane(proxy, self._common, self._tls, self._max_reply_bytes)
        lane.users += 1
        return FastTransport(lane, self._leave)

    async def _leave(self, lane: Lane) -> None:
        lane.users -= 1
        if lane.users == 0:
            del self._lanes[lane.proxy]
            await lane.aclose()


class FastTransport:
    """Carries one node's requests over connections that all share; see `node.ports.transport.Transport`.

    A request without a body that is sent again and again is put into its wire form once, and so is the head of those
    with a body that go to one URL with the very same headers.
    """

    __slots__ = (
        *("_closed", "_exchanges", "_idle", "_kept", "_kept_pool", "_kept_wire", "_lane", "_leave", "_opening"),
        *("_posted_head", "_posted_headers", "_posted_url"),
    )

    def __init__(self, lane: Lane, leave: Callable[[Lane], Awaitable[None]]) -> None:
        """Made by the factory; ``leave`` is told the lane when the transport is closed."""
        self._lane = lane
        self._leave = leave
        self._kept = _NO_REQUEST
        self._kept_wire = b""
        self._kept_pool: Pool | None = None
        self._posted_url = ""
        self._posted_headers: object = None
        self._posted_head = b""
        self._exchanges = 0
        self._closed = False
        self._opening: dict[asyncio.Timeout, None] | None = None
        self._idle: Signal | None = None

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """See `node.ports.transport.Transport.exchange`."""
        if request is self._kept and self._kept_pool is not None:
            pool, wire = self._kept_pool, self._kept_wire
        else:
            pool, wire = self._prepare(request)
        self._exchanges += 1
        try:
            reply, left_s, connection = None, timeout_s, pool.take()
            if connection is None and pool.is_crowded:
                connection, left_s = await self._await_turn(pool, timeout_s)
            if connection is not None:
                answer = connection.send(wire, left_s, self)
                try:
                    reply = await answer
                except KeptClosed as error:
                    # A GET that meets a kept connection's end is sent once more (RFC 9112, section 9.3.1).
                    if self._closed or not (request.method == "GET" or isinstance(error, NeverSent)):
                        raise
                    left_s = connection.remaining_s
                except asyncio.CancelledError:
                    connection.abandon(answer)
                    raise
            if reply is None:
                reply = await self._exchange_anew(pool, wire, left_s, timeout_s)
        except Overdue:
            raise self._timed_out(pool, timeout_s, "no whole reply") from None
        finally:
            self._ended()
        if reply.status == 407 and self._lane.proxy is not None and not pool.origin.secure:
            raise ProxyFailed(f"proxy {self._lane.proxy}: it answered HTTP 407")
        return reply

    async def aclose(self) -> None:
        """Leave the shared connections; exchanges under way end at once with `BrokenReply`, their ends are awaited."""
        if self._closed:
            return
        self._closed = True
        self._kept, self._kept_pool = _NO_REQUEST, None
        if self._exchanges:
            self._idle = Signal()
            self._lane.fail_all(self, BrokenReply("the transport was closed"))
            now = asyncio.get_running_loop().time()
            for deadline in self._opening or ():
                if not deadline.expired():
                    deadline.reschedule(now)
            await self._idle.wait()
        await self._leave(self._lane)

    def _ended(self) -> None:
        self._exchanges -= 1
        if self._idle is not None and not self._exchanges:
            self._idle.set()

    def _prepare(self, request: Request) -> tuple[Pool, bytes]:
        if self._closed:
            raise ConnectFailed("the transport is closed")
        pool = self._lane.pool(request.url)
        if request.body is None:
            wire = pool.origin.wire(request)
            self._kept, self._kept_pool, self._kept_wire = request, pool, wire
            return pool, wire
        if request.method != "POST":
            return pool, pool.origin.wire(request)
        if request.headers is not self._posted_headers or request.url != self._posted_url:
            # Its head is kept from the next one on: most are sent once.
            self._posted_url, self._posted_headers, self._posted_head = request.url, request.headers, b""
            return pool, pool.origin.wire(request)
        if not self._posted_head:
            self._posted_head = pool.origin.head(request)
        return pool, with_body(self._posted_head, request.body)

    async def _exchange_anew(self, pool: Pool, wire: bytes, left_s: float, timeout_s: float) -> Reply:
        loop = asyncio.get_running_loop()
        ends = loop.time() + left_s
        connection = await self._in_time(pool, pool.open(), left_s, timeout_s)
        answer = connection.send(wire, ends - loop.time(), self)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abandon(answer)
            raise

    async def _await_turn(self, pool: Pool, timeout_s: float) -> tuple[Connection | None, float]:
        """A kept connection, or None when one may be opened; and what is left of the time, in seconds."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        connection = await self._in_time(pool, pool.turn(), timeout_s, timeout_s)
        return connection, ends - loop.time()

    async def _in_time(self, pool: Pool, way: Coroutine[Any, Any, T], left_s: float, timeout_s: float) -> T:
        """Await something on the way to a connection, which a time-out and the transport's end cut short."""
        opening = self._opening = {} if self._opening is None else self._opening
        try:
            async with asyncio.timeout(left_s) as deadline:
                opening[deadline] = None
                try:
                    return await way
                finally:
                    del opening[deadline]
                    if not opening:
                        self._opening = None
        except TimeoutError as error:
            raise self._timed_out(pool, timeout_s, "no connection") from error

    def _timed_out(self, pool: Pool, timeout_s: float, reached: str) -> TimedOut | BrokenReply:
        way = "" if self._lane.proxy is None else f" by proxy {self._lane.proxy}"
        if self._closed:
            return BrokenReply(f"{pool.origin.where}{way}: the transport was closed")
        return TimedOut(f"{pool.origin.where}{way}: {reached} in {timeout_s:g} s")
