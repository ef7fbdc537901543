"""From httpx's errors to the program's own: the one place where that is done.

No text made here holds more than a host, a port and what the operating system or OpenSSL says: what a proxy or
a server words itself may repeat credentials.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx

from node.domain.errors import BrokenReply, ConnectFailed, ProxyFailed, TlsFailed, TransportError
from node.domain.proxies import ProxyAddress

HTTPX_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL)
"""What httpx raises on purpose."""

_STATUS: Final = re.compile(r"\d{3}\b")


class Watch:
    """Follows one exchange through httpcore's ``trace`` extension, for what its errors do not tell.

    ``opened`` is the network stream that was opened for the exchange, None when a kept connection was used;
    ``sent`` is whether any byte of the request itself may have left; ``failed_at`` names the phase that failed
    last and ``cause`` what made it fail, None where httpcore itself found the fault.
    """

    __slots__ = ("cause", "failed_at", "opened", "sent")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start anew, for another try."""
        self.opened: httpcore.AsyncNetworkStream | None = None
        self.sent = False
        self.failed_at = ""
        self.cause: BaseException | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Note an event; httpcore awaits this for each."""
        if event == "http11.send_request_headers.started":
            self.sent = info["request"].method != b"CONNECT"
        elif event.endswith(".connect_tcp.complete"):
            self.opened = info["return_value"]
        elif event.endswith(".failed") and not event.endswith("close.failed"):
            self.failed_at = event.removesuffix(".failed")
            # httpcore's pool raises its errors ``from None``: only here the cause can still be seen.
            self.cause = info["exception"].__cause__

    @property
    def failed_to_connect(self) -> bool:
        """Whether the way to the server failed: below httpcore that comes as whatever error happens to be raised.

        A connection that is reset between its opening and its first use fails where its socket is looked at.
        """
        lost_unused = self.opened is not None and not self.sent
        return lost_unused or self.failed_at.endswith((".connect_tcp", ".setup_socks5_connection"))

    def met_a_closed_connection(self, error: Exception) -> bool:
        """Whether the request went out on a kept connection that the other side had closed, and nothing came back."""
        if self.opened is not None or self.failed_at != "http11.receive_response_headers":
            return False
        closed = isinstance(error, httpx.RemoteProtocolError) and self.cause is None
        return closed or isinstance(error, httpx.ReadError)


def translate(error: Exception, watch: Watch, url: str, proxy: ProxyAddress | None) -> TransportError:
    """The error to raise in place of one of `HTTPX_ERRORS`, or of whatever else ended the attempt to connect."""
    where = place(url)
    match error:
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return ConnectFailed(f"{where}: this is no http or https address")
        case httpx.LocalProtocolError():
            return ConnectFailed(f"{where}: the request is not one that HTTP can carry")
        case httpx.ProxyError():
            return ProxyFailed(f"proxy {proxy or 'of the environment'}: {_refusal(str(error))}")
        case httpx.RemoteProtocolError() if watch.sent and watch.cause is not None:
            return BrokenReply(f"{where}: the reply is malformed or cut off")
        case _ if watch.sent:
            return BrokenReply(f"{where}: the connection was closed before the reply was whole")
    tls = next((link for link in _chain(watch.cause) if isinstance(link, ssl.SSLError)), None)
    in_tunnel = watch.failed_at in {"proxy.start_tls", "socks.start_tls"}
    if proxy is not None and not (tls is not None and in_tunnel):
        return ProxyFailed(f"proxy {proxy}: {says(watch.cause, tls)}")
    if tls is not None:
        return TlsFailed(f"{where}: {says(watch.cause, tls)}")
    return ConnectFailed(f"{where}: {says(watch.cause, None)}")


def place(url: str) -> str:
    """Host and port of a URL, and nothing else of it, for messages. Never raises."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    return f"{parts.hostname or 'the address'}{port}"


def _refusal(text: str) -> str:
    """What a proxy's refusal comes to: the status of a CONNECT, or one of httpcore's own phrases for SOCKS."""
    status = _STATUS.match(text)
    return f"it answered HTTP {status.group()}" if status else text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__


def says(cause: BaseException | None, tls: ssl.SSLError | None) -> str:
    """What the operating system or OpenSSL says of a failure to connect; ``tls`` is what OpenSSL raised, if it did."""
    if isinstance(tls, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {tls.verify_message}"
    if tls is not None:
        return f"the TLS handshake failed: {tls.reason or type(tls).__name__}"
    texts = [_system_text(link) for link in _chain(cause) if isinstance(link, OSError)]
    return texts[-1] if texts and texts[-1] else "the connection was closed before it stood"


def _system_text(error: OSError) -> str:
    # asyncio words a refused connection its own way; name look-ups have negative numbers and texts of their own.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or ""
