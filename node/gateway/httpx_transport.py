"""The transport on httpx."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from typing import Final, cast

import httpx

from node import __version__
from node.domain.errors import BrokenReply, ConnectFailed, ProxyFailed, TimedOut
from node.domain.proxies import ProxyAddress
from node.gateway.bodies import BoundedBody
from node.gateway.http_errors import HTTPX_ERRORS, Watch, place, translate
from node.gateway.leftovers import has_leftovers
from node.ports.transport import Reply, Request
from node.runtime.signals import Signal

MAX_REPLY_BYTES: Final = 32 * 1024 * 1024

# Below the 60 s after which common load balancers drop an idle connection, and above any usual poll cycle. A
# time under the 5 s of many application servers would cost a node with a 5 s cycle a handshake for every poll.
# Where the server closes first, httpcore sees it before it uses the connection; what slips through while the
# close is under way is met by the one retry of a GET.
KEEPALIVE_S: Final = 55.0

_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=KEEPALIVE_S)


# What httpx's network layer would import when its first request is under way, reading files on the event loop.
for _module in ("lowlevel", "_core._sockets", "_core._streams", "streams.stapled", "streams.tls", "_backends._asyncio"):
    with contextlib.suppress(ImportError):  # another version of it may have other names
        import_module(f"anyio.{_module}")


class HttpxTransportFactory:
    """Makes transports that share one TLS context: one in use takes some 11 KB so, and 845 KB with its own."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        trust_env: bool = False,
        user_agent: str = f"llm-worker-node/{__version__}",
    ) -> None:
        """Keep what all transports share.

        ``max_reply_bytes`` bounds a reply's body, compressed and decompressed. With ``trust_env`` a transport
        without a proxy of its own uses those that ``HTTP_PROXY`` and its like name; otherwise they are ignored.
        """
        self._tls = tls
        self._max_reply_bytes = max_reply_bytes
        self._trust_env = trust_env
        self._headers = {"user-agent": user_agent, "accept": "application/json", "accept-encoding": "identity"}
        # A jar that takes nothing in: no two requests are to be linked by anything but the token.
        self._cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))

    def open(self, proxy: ProxyAddress | None) -> HttpxTransport:
        """See `node.ports.transport.TransportFactory.open`."""
        return HttpxTransport(self, proxy, self._max_reply_bytes, by_proxy=self._trust_env or proxy is not None)

    def client(self, proxy: ProxyAddress | None) -> httpx.AsyncClient:
        """A client for a transport that goes through this proxy, or directly; who asks for one closes it."""
        by_environment = self._trust_env and proxy is None
        return httpx.AsyncClient(
            # With a transport of its own a client has no other: none that could go past the proxy.
            transport=None if by_environment else self._connections(proxy),
            trust_env=by_environment,
            verify=self._tls,
            limits=_LIMITS,
            timeout=None,  # noqa: S113 - the exchange as a whole has a deadline
            headers=self._headers,
            cookies=self._cookies,
            event_hooks={"response": [_forget_location]},
        )

    def _connections(self, proxy: ProxyAddress | None) -> httpx.AsyncHTTPTransport:
        way = None
        if proxy is not None:
            way = httpx.Proxy(
                str(proxy),
                auth=(proxy.username, proxy.password.reveal()) if proxy.username else None,
                ssl_context=self._tls if proxy.scheme == "https" else None,
            )
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=_LIMITS, proxy=way)


async def _forget_location(response: httpx.Response) -> None:
    """Drop a redirect's target: httpx builds the request for it even if told not to follow, and may fail at that."""
    response.headers.pop("location", None)


class _Lane:
    """A client and the number of exchanges that use it."""

    __slots__ = ("client", "users")

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.users = 0


class HttpxTransport:
    """Carries one node's requests; see `node.ports.transport.Transport`. Exchanges may overlap.

    A client that saw an exchange fail is not used again, and is closed when its last exchange ends: httpcore
    keeps connections in its pool that failed or were cancelled while they were made (encode/httpcore 1023),
    and they would pile up in a node that runs for months.
    """

    def __init__(
        self, factory: HttpxTransportFactory, proxy: ProxyAddress | None, max_reply_bytes: int, *, by_proxy: bool
    ) -> None:
        """Made by the factory. ``by_proxy`` is whether a proxy may be on the way, its own or the environment's."""
        self._factory = factory
        self._proxy = proxy
        self._by_proxy = by_proxy
        self._max_reply_bytes = max_reply_bytes
        self._lane: _Lane | None = None
        self._deadlines: dict[asyncio.Timeout, None] = {}
        self._exchanges = 0
        self._closed = False
        self._idle = Signal()

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """See `node.ports.transport.Transport.exchange`."""
        if self._closed:
            raise ConnectFailed("the transport is closed")
        if self._lane is None:
            self._lane = _Lane(self._factory.client(self._proxy))
        lane = self._lane
        lane.users += 1
        self._exchanges += 1
        try:
            reply = await self._exchange_in_time(lane.client, request, timeout_s)
        except BaseException:
            await self._leave(lane, retire=True)
            raise
        await self._leave(lane, retire=False)
        return reply

    async def aclose(self) -> None:
        """Close all connections; exchanges under way end at once with `BrokenReply`, and their ends are awaited."""
        self._closed = True
        lane, self._lane = self._lane, None
        if lane is not None and lane.users == 0:
            await lane.client.aclose()
        if self._exchanges:
            now = asyncio.get_running_loop().time()
            for deadline in self._deadlines:
                if not deadline.expired():
                    deadline.reschedule(now)
            await self._idle.wait()

    async def _leave(self, lane: _Lane, *, retire: bool) -> None:
        lane.users -= 1
        if retire and self._lane is lane:
            self._lane = None
        try:
            if self._lane is not lane and lane.users == 0:
                await lane.client.aclose()
        finally:
            self._exchanges -= 1
            if self._closed and not self._exchanges:
                self._idle.set()

    async def _exchange_in_time(self, client: httpx.AsyncClient, request: Request, timeout_s: float) -> Reply:
        watch = Watch()
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                self._deadlines[deadline] = None
                try:
                    return await self._exchange_watched(client, request, watch)
                finally:
                    del self._deadlines[deadline]
        except TimeoutError as error:
            way = "" if self._proxy is None else f" by proxy {self._proxy}"
            if self._closed:
                raise BrokenReply(f"{place(request.url)}{way}: the transport was closed") from error
            reached = "no whole reply" if watch.sent else "no connection"
            raise TimedOut(f"{place(request.url)}{way}: {reached} in {timeout_s:g} s") from error

    async def _exchange_watched(self, client: httpx.AsyncClient, request: Request, watch: Watch) -> Reply:
        try:
            try:
                return await self._send(client, request, watch)
            except HTTPX_ERRORS as error:
                if request.method != "GET" or not watch.met_a_closed_connection(error):
                    raise
            return await self._send(client, request, watch)
        except (httpx.LocalProtocolError, httpx.ProxyError) as error:
            # Their own texts may repeat a header's value, or what a proxy chose to say: not to be shown as a cause.
            raise translate(error, watch, request.url, self._proxy) from None
        except HTTPX_ERRORS as error:
            raise translate(error, watch, request.url, self._proxy) from error
        except Exception as error:
            if not watch.failed_to_connect:
                raise
            raise translate(error, watch, request.url, self._proxy) from error

    async def _send(self, client: httpx.AsyncClient, request: Request, watch: Watch) -> Reply:
        watch.begin()
        outgoing = client.build_request(
            request.method,
            request.url,
            headers=list(request.headers),
            content=request.body,
            extensions={"trace": watch},
        )
        try:
            response = await client.send(outgoing, stream=True)
        except BaseException:
            # httpcore does not close what fails or is cancelled before the connection stands.
            if watch.opened is not None:
                await watch.opened.aclose()
            raise
        try:
            reply = await self._read(response)
            if has_leftovers(response):
                # A connection whose stream is closed is not used again.
                await response.extensions["network_stream"].aclose()
            return reply
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> Reply:
        if response.status_code == 407 and self._by_proxy:
            raise ProxyFailed(f"proxy {self._proxy or 'of the environment'}: it answered HTTP 407")
        headers = dict(response.headers)
        body = BoundedBody(headers, self._max_reply_bytes)
        try:
            # Not by `aiter_raw`, which gives the connection back before anyone could look at it.
            async for piece in cast(httpx.AsyncByteStream, response.stream):
                body.feed(piece)
            return Reply(response.status_code, headers, body.finish())
        finally:
            body.release()
