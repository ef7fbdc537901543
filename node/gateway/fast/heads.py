"""Requests as they go over the wire."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote, urlsplit

from node.domain.errors import ConnectFailed
from node.domain.proxies import ProxyAddress
from node.ports.transport import Request

_IN_TARGETS: Final = "%/:=&?~#+!$,;'@()*[]"
_PORTS: Final = {"http": 80, "https": 443}


class Origin:
    """Where requests go: scheme, host and port, and the part of their heads that is the same for all of them."""

    __slots__ = ("host", "length", "middle", "port", "prefix", "secure", "where")

    def __init__(self, url: str, proxy: ProxyAddress | None, common: str) -> None:
        """Read scheme and authority of an absolute URL; ``common`` are the header lines of every request.

        Raises:
            ConnectFailed: it is no http or https address.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _no_address("the address") from None
        if parts.scheme not in _PORTS or not parts.hostname or not parts.hostname.isascii():
            raise _no_address(parts.hostname or "the address")
        self.host = parts.hostname
        self.secure = parts.scheme == "https"
        self.port = port or _PORTS[parts.scheme]
        self.where = f"{self.host}:{port}" if port else self.host
        self.length = origin_length(url)
        authority = parts.netloc.rpartition("@")[2]
        tunnelled = proxy is not None and not self.secure
        self.prefix = f"{parts.scheme}://{authority}" if tunnelled else ""
        credentials = proxy_authorization(proxy) if tunnelled else ""
        self.middle = f" HTTP/1.1\r\nhost: {authority}\r\n{common}{credentials}"

    def wire(self, request: Request) -> bytes:
        """A request to this origin, whole.

        Raises:
            ConnectFailed: a header cannot be sent. The message does not repeat it.
        """
        head = self.head(request)
        if request.body is not None:
            return with_body(head, request.body)
        return head + (b"\r\n" if request.method == "GET" else b"content-length: 0\r\n\r\n")

    def head(self, request: Request) -> bytes:
        """A request's head, but for the length of its body and the line that ends it.

        Raises:
            ConnectFailed: a header cannot be sent. The message does not repeat it.
        """
        target = request.url[self.length :] or "/"
        if not target.startswith("/"):
            target = f"/{target}"
        if not target.isascii() or not target.isprintable() or " " in target:
            target = quote(target, safe=_IN_TARGETS)
        lines = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
        if lines.count("\n") != len(request.headers) or lines.count("\r") != len(request.headers) or "\0" in lines:
            raise self._unfit()
        try:
            return f"{request.method} {self.prefix}{target}{self.middle}{lines}".encode("latin-1")
        except UnicodeEncodeError:
            raise self._unfit() from None

    def _unfit(self) -> ConnectFailed:
        return ConnectFailed(f"{self.where}: the request is not one that HTTP can carry")


def with_body(head: bytes, body: bytes) -> bytes:
    """A request whose head is as `Origin.head` gives it."""
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


def origin_length(url: str) -> int:
    """How much of an absolute URL is scheme and authority."""
    begin = url.find("://") + 3
    ends = [end for mark in "/?#" if (end := url.find(mark, begin)) >= 0]
    return min(ends, default=len(url))


def proxy_authorization(proxy: ProxyAddress | None) -> str:
    """The header line by which a proxy knows us (RFC 7617); empty where it asks for none."""
    if proxy is None or not proxy.username:
        return ""
    return f"proxy-authorization: Basic {base64.b64encode(proxy.credentials.reveal().encode()).decode()}\r\n"


def _no_address(where: str) -> ConnectFailed:
    return ConnectFailed(f"{where}: this is no http or https address")
