"""Opening a connection: to the host or to its proxy, through the proxy's tunnel, and TLS."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final, cast

from node.domain.errors import ConnectFailed, ProxyFailed, TlsFailed, TransportError
from node.domain.proxies import ProxyAddress
from node.gateway.fast.connection import Connection, Keeper
from node.gateway.fast.heads import Origin, proxy_authorization
from node.gateway.http_errors import says

_MAX_HEAD_BYTES: Final = 64 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


class Opener:
    """Opens connections to one origin, directly or by an HTTP proxy."""

    __slots__ = ("_keeper", "_origin", "_proxy", "_tls")

    def __init__(self, keeper: Keeper, origin: Origin, proxy: ProxyAddress | None, tls: ssl.SSLContext) -> None:
        self._keeper = keeper
        self._origin = origin
        self._proxy = proxy
        self._tls = tls

    async def open(self) -> Connection:
        """A connection that stands; a cancellation closes what was opened.

        Raises:
            ConnectFailed, TlsFailed, ProxyFailed: it could not be opened.
        """
        loop, origin, proxy = asyncio.get_running_loop(), self._origin, self._proxy
        connection = Connection(loop, self._keeper, origin.where)
        host, port = (origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)
        transport: asyncio.Transport | None = None
        try:
            if not origin.secure:
                transport, _ = await loop.create_connection(lambda: connection, host, port)
                return connection
            transport, tunnel = await loop.create_connection(lambda: _Tunnel(loop), host, port)
            if proxy is not None:
                await tunnel.pass_through(f"{origin.host}:{origin.port}", proxy)
            secured = await loop.start_tls(transport, connection, self._tls, server_hostname=origin.host)
            if secured is None:
                raise ConnectionResetError
            connection.connection_made(secured)
        except (OSError, EOFError) as error:
            _abort(transport)
            raise self._failure(error, stands=transport is not None) from error
        except BaseException:
            _abort(transport)
            raise
        return connection

    def _failure(self, error: OSError | EOFError, *, stands: bool) -> TransportError:
        tls = error if isinstance(error, ssl.SSLError) else None
        if self._proxy is not None and tls is None:
            return ProxyFailed(f"proxy {self._proxy}: {says(error, None)}")
        if tls is not None:
            return TlsFailed(f"{self._origin.where}: {says(error, tls)}")
        return ConnectFailed(f"{self._origin.where}: {says(error if not stands else None, None)}")


def _abort(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        transport.abort()


class _Tunnel(asyncio.Protocol):
    """What stands on a connection until TLS begins: asks a proxy for a way through it (RFC 9110, section 9.3.6)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._status: asyncio.Future[int] | None = None
        self._came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def pass_through(self, authority: str, proxy: ProxyAddress) -> None:
        """Have the way opened.

        Raises:
            ProxyFailed: it says no, or what it says is no answer.
            OSError: the connection is lost.
        """
        status = self._status = self._loop.create_future()
        if self._transport is None:
            raise ConnectionResetError
        head = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{proxy_authorization(proxy)}\r\n"
        self._transport.write(head.encode("latin-1"))
        said = await status
        if not 200 <= said < 300:
            raise ProxyFailed(
                f"proxy {proxy}: it answered HTTP {said}" if said else f"proxy {proxy}: no HTTP came back"
            )

    def data_received(self, data: bytes) -> None:
        self._came += data[: _MAX_HEAD_BYTES + 1]
        head, end, rest = bytes(self._came).partition(b"\r\n\r\n")
        if not end and len(head) <= _MAX_HEAD_BYTES:
            return
        match = _STATUS_LINE.match(head)
        # Nobody speaks before TLS does: what follows the head is not the host's.
        self._settle(int(match[1]) if match is not None and end and not rest else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._status is not None and not self._status.done():
            self._status.set_exception(exc or ConnectionResetError())

    def _settle(self, status: int) -> None:
        if self._status is not None and not self._status.done():
            self._status.set_result(status)
