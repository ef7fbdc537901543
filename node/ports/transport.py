"""One request, one reply: the seam below which the network lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from node.domain.proxies import ProxyAddress


class Request(NamedTuple):
    """What is sent. ``url`` is absolute; header names are lower-case; values may hold secrets, so `repr` omits them."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"Request({self.method} {self.url})"


class Reply(NamedTuple):
    """What came back, whole. Header names are lower-case; the body is decompressed. `repr` shows neither."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status})"


class Transport(Protocol):
    """Carries requests, all of them through one proxy or none, over connections that it keeps.

    It follows no redirect, verifies TLS, bounds the reply's bytes and retries nothing but a GET on a kept
    connection that turns out to be closed.
    """

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """Send a request and return its reply, whatever its status.

        ``timeout_s`` bounds the whole exchange, the connection and the last byte of the body included.

        Raises:
            TransportError: no usable reply came; its subclasses say why.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. A second call does nothing."""
        ...


class TransportFactory(Protocol):
    """Makes transports, which share what can be shared."""

    def open(self, proxy: ProxyAddress | None) -> Transport:
        """A transport that goes through this proxy, or directly; with a proxy it never connects directly."""
        ...
