"""A transport to an ASGI application in the same process: no socket, no thread, and exact in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message, Scope

from node.domain.errors import BrokenReply, ConnectFailed, TimedOut, TransportError
from node.domain.events import Crash
from node.domain.proxies import ProxyAddress
from node.gateway.bodies import BoundedBody
from node.ports.transport import Reply, Request
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

MAX_REPLY_BYTES: Final = 32 * 1024 * 1024

_PORTS: Final = {"http": 80, "https": 443}

_Ending: TypeAlias = "asyncio.Future[Reply]"


class AsgiTransportFactory:
    """Makes transports to one application, and owns the handlers of all requests.

    ``peer`` is the address that the application sees requests come from. A proxy is not contacted: its host is
    seen in place of ``peer``, as if the request had come through it. ``on_crash`` is told of handlers that raise
    what is no `ConnectionError`. A reply's body has at most ``max_reply_bytes``.

    An application that raises `ConnectionRefusedError` before it answers stands for nobody being there, one that
    raises another `ConnectionError` for a connection that breaks.
    """

    def __init__(
        self,
        app: ASGIApp,
        on_crash: Callable[[Crash], object],
        *,
        peer: str = "127.0.0.1",
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._app = app
        self._peer = peer
        self._max_reply_bytes = max_reply_bytes
        self._handlers = TaskOwner(on_crash)

    def open(self, proxy: ProxyAddress | None) -> AsgiTransport:
        """See `node.ports.transport.TransportFactory.open`."""
        peer = self._peer if proxy is None else proxy.host
        return AsgiTransport(self._app, self._handlers, peer, self._max_reply_bytes)

    async def join(self) -> None:
        """Wait until all handlers have ended, those included whose clients have gone; it cancels none."""
        await self._handlers.join()

    async def aclose(self) -> None:
        """Cancel the handlers that still run and wait for their ends; close the transports first."""
        await self._handlers.cancel()


class AsgiTransport:
    """See `node.ports.transport.Transport`. Made by `AsgiTransportFactory`.

    Each request is handled in a task of its own. When the exchange ends early, by its time-out, a cancellation or
    `aclose`, the handler is not cancelled: it learns of it by ``http.disconnect``, as it would from a server.
    """

    def __init__(self, app: ASGIApp, handlers: TaskOwner, peer: str, max_reply_bytes: int) -> None:
        self._app = app
        self._handlers = handlers
        self._peer = peer
        self._max_reply_bytes = max_reply_bytes
        self._under_way: dict[_Ending, str] = {}
        self._closed = False

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """See `node.ports.transport.Transport.exchange`."""
        where = urlsplit(request.url).netloc
        if self._closed:
            raise ConnectFailed(f"{where}: the transport is closed")
        loop = asyncio.get_running_loop()
        ending: _Ending = loop.create_future()
        exchange = _Exchange(request, ending, self._peer, self._max_reply_bytes)
        self._handlers.start(exchange.run(self._app), f"handle {request.method} {where}")
        timer = loop.call_later(timeout_s, _time_out, ending, where, timeout_s)
        self._under_way[ending] = where
        try:
            return await ending
        finally:
            timer.cancel()
            del self._under_way[ending]
            exchange.over.set()

    async def aclose(self) -> None:
        """See `node.ports.transport.Transport.aclose`; exchanges under way end at once with `BrokenReply`."""
        self._closed = True
        for ending, where in self._under_way.items():
            _fail(ending, BrokenReply(f"{where}: the transport was closed"))


class _Exchange:
    """One request as the application sees it, and its reply as it comes. ``over`` is set when nobody waits for it."""

    def __init__(self, request: Request, ending: _Ending, peer: str, max_reply_bytes: int) -> None:
        self.over = Signal()
        self._request = request
        self._ending = ending
        self._peer = peer
        self._max_reply_bytes = max_reply_bytes
        self._is_read = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: BoundedBody | None = None

    async def run(self, app: ASGIApp) -> None:
        """Have the application handle the request."""
        where = urlsplit(self._request.url).netloc
        try:
            await app(self._scope(), self._receive, self._send)
        except ConnectionRefusedError as error:
            kind = BrokenReply if self._body is not None else ConnectFailed
            _fail(self._ending, kind(f"{where}: {str(error) or 'nobody is there'}"))
        except ConnectionError as error:
            _fail(self._ending, BrokenReply(f"{where}: {str(error) or 'the connection broke'}"))
        finally:
            # Whatever ended the handler, a cancellation included: nobody may wait for what cannot come any more.
            _fail(self._ending, BrokenReply(f"{where}: the application ended without a whole reply"))

    def _scope(self) -> Scope:
        request = self._request
        parts = urlsplit(request.url)
        headers = [(b"host", parts.netloc.encode("ascii")), (b"accept-encoding", b"identity")]
        headers += [(name.encode("ascii"), text.encode("latin-1")) for name, text in request.headers]
        if request.method != "GET":
            headers.append((b"content-length", b"%d" % len(request.body or b"")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": parts.scheme,
            "path": unquote(parts.path),
            "raw_path": parts.path.encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "client": (self._peer, 0),
            "server": (parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)),
        }

    async def _receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._request.body or b"", "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._ending.done():
            return
        try:
            self._take(message)
        except TransportError as error:
            _fail(self._ending, error)

    def _take(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" if self._body is None:
                self._status = message["status"]
                self._headers = _joined(message.get("headers", ()))
                self._body = BoundedBody(self._headers, self._max_reply_bytes)
            case "http.response.body" if self._body is not None:
                self._body.feed(message.get("body", b""))
                if not message.get("more_body", False):
                    self._ending.set_result(Reply(self._status, self._headers, self._body.finish()))
            case kind:
                raise RuntimeError(f"the application sent {kind} out of turn")


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_text in headers:
        name, text = raw_name.decode("latin-1").lower(), raw_text.decode("latin-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    return joined


def _time_out(ending: _Ending, where: str, timeout_s: float) -> None:
    _fail(ending, TimedOut(f"{where}: no whole reply in {timeout_s:g} s"))


def _fail(ending: _Ending, error: TransportError) -> None:
    if not ending.done():
        ending.set_exception(error)
