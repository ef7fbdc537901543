"""The table of evil connections: what a server does before it could be asked, and what a transport makes of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from node.domain.errors import BrokenReply, ConnectFailed, TimedOut, TlsFailed, TransportError
from tests.contract.transport.certificates import Identity, make_authority, make_server, server_context
from tests.evil.parts import reply
from tests.evil.server import End, Forever, Script, Slowly

UNTRUSTED = (TlsFailed,)
NO_HANDSHAKE = (TlsFailed, ConnectFailed)
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


@dataclass(frozen=True)
class EvilConnection:
    """What one connection is like: the server's certificate, if it comes to that, and what is said before it."""

    name: str
    errors: tuple[type[TransportError], ...]
    certificate: Callable[[Identity], Identity] | None = None
    greeting: Script = ()
    scheme: str = "https"
    """What the client takes the server for."""

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def stalls(self) -> bool:
        return TimedOut in self.errors


def _lasting(begin_days: int, end_days: int) -> Callable[[Identity], Identity]:
    return lambda authority: make_server(authority, begin=timedelta(days=begin_days), end=timedelta(days=end_days))


CONNECTIONS = (
    EvilConnection("an expired certificate", UNTRUSTED, _lasting(-3, -2)),
    EvilConnection("a certificate not valid yet", UNTRUSTED, _lasting(2, 3)),
    EvilConnection("a certificate that signs itself", UNTRUSTED, lambda _: make_server(None)),
    EvilConnection("an authority unknown", UNTRUSTED, lambda _: make_server(make_authority("somebody else"))),
    EvilConnection("another host", UNTRUSTED, lambda ca: make_server(ca, x509.DNSName("gateway.example"))),
    EvilConnection("a name for an address", UNTRUSTED, lambda ca: make_server(ca, x509.DNSName("127.0.0.1"))),
    EvilConnection("plain text where TLS is due", NO_HANDSHAKE, greeting=(reply(b"{}"), End.CLOSE)),
    EvilConnection("an alert", NO_HANDSHAKE, greeting=(ALERT, End.CLOSE)),
    EvilConnection("garbage in the handshake", NO_HANDSHAKE, greeting=(b"\x16\x03\x03\x40\0" + b"x" * 16384, End.CLOSE)),
    EvilConnection("a close in the handshake", NO_HANDSHAKE, greeting=(End.CLOSE,)),
    EvilConnection("a reset in the handshake", NO_HANDSHAKE, greeting=(End.RESET,)),
    EvilConnection("silence in the handshake", (TimedOut,), greeting=(End.SILENCE,)),
    EvilConnection("a handshake byte by byte", (TimedOut,), greeting=(Slowly(b"\x16\x03\x03\x40\0" + b"x" * 16384),)),
    EvilConnection("warnings for ever", (*NO_HANDSHAKE, TimedOut),
                   greeting=(Forever(b"\x15\x03\x03\x00\x02\x01\x5a", 0.01),)),
    EvilConnection("TLS where plain text is due", (BrokenReply,), make_server, scheme="http"),
    EvilConnection("a TLS alert where plain text is due", (BrokenReply,), greeting=(ALERT, End.CLOSE), scheme="http"),
)  # fmt: skip


def contexts(connection: EvilConnection, authority: Identity, folder: Path) -> Callable[[int], ssl.SSLContext | None]:
    """The context that every connection of this kind gets."""
    made = None if connection.certificate is None else server_context(connection.certificate(authority), folder)
    return lambda _connection: made
