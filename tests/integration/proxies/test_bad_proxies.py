"""Proxies that break off, talk nonsense or hang, at every stage of a handshake: bare sockets, scripted."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.domain.errors import ProxyFailed, TimedOut, TransportError
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.ports.transport import Request, TransportFactory
from tests.contract.transport.certificates import make_authority, make_server, server_context
from tests.contract.transport.raw_server import PLAIN, reply
from tests.support.waiting import wait_until

SECRET = "hunter2"
CUT = "…".encode()
GREETED = b"\x05\x02"
LET_IN = b"\x01\x00"
CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


class Script:
    """A proxy that answers each of the client's turns with the next line, and then hangs or closes.

    It closes once the client has had its turn, or after a line that ends in ``…`` at once.
    """

    def __init__(self, lines: tuple[bytes, ...], *, hang: bool) -> None:
        self.lines = [line.removesuffix(CUT) for line in lines]
        self.listens = not (lines and lines[-1].endswith(CUT))
        self.hang = hang
        self.open = 0
        self.heard = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        for line in self.lines:
            self.heard += await reader.read(4096)
            writer.write(line)
        if self.listens:
            self.heard += await reader.read(4096)
        if self.hang:
            await reader.read()
        writer.close()
        self.open -= 1


@asynccontextmanager
async def scripted(*lines: bytes, hang: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Script]:
    script = Script(lines, hang=hang)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    yield script
    await wait_until(lambda: script.open == 0, what="the client closed its sockets")
    server.close()
    await server.wait_closed()


def address(scheme: str, script: Script) -> ProxyAddress:
    return ProxyAddress(scheme, "127.0.0.1", script.port, "me", Secret(SECRET))


STAGES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "socks, silent": ("socks5", ()),
    "socks, greeted": ("socks5", (GREETED,)),
    "socks, let in": ("socks5", (GREETED, LET_IN)),
    "socks, connected": ("socks5", (GREETED, LET_IN, CONNECTED)),
    "http, silent": ("http", ()),
    "http, half a head": ("http", (b"HTTP/1.1 200 Conn" + CUT,)),
    "http, connected": ("http", (b"HTTP/1.1 200 Connection established\r\n\r\n",)),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_proxy_that_closes(stage: str, factory: TransportFactory) -> None:
    scheme, lines = STAGES[stage]
    async with scripted(*lines) as script:
        transport = factory.open(address(scheme, script))
        with pytest.raises(ProxyFailed, match=rf"{scheme}://127\.0\.0\.1:{script.port}") as caught:
            await transport.exchange(Request("GET", "https://gateway.example/"), 10)
        assert SECRET not in str(caught.value)
        await transport.aclose()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_proxy_that_hangs_leaves_no_socket_behind(stage: str, factory: TransportFactory) -> None:
    scheme, lines = STAGES[stage]
    async with scripted(*lines, hang=True) as script:
        transport = factory.open(address(scheme, script))
        for _ in range(2):
            with pytest.raises(TimedOut, match="no connection"):
                await transport.exchange(Request("GET", "https://gateway.example/"), 0.2)
        await wait_until(lambda: script.open == 0, what="sockets are closed while the transport lives")
        await transport.aclose()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x04\x5a",
        b"\x05\xff",
        b"\x05\x00",
        b"\x05",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_socks_proxy_that_talks_nonsense(nonsense: bytes, factory: TransportFactory) -> None:
    async with scripted(nonsense) as script:
        transport = factory.open(address("socks5", script))
        with pytest.raises(ProxyFailed):
            await transport.exchange(Request("GET", "http://gateway.example/"), 10)
        await transport.aclose()


async def test_a_socks_proxy_that_cannot_reach_the_server(factory: TransportFactory) -> None:
    async with scripted(GREETED, LET_IN, b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00") as script:
        transport = factory.open(address("socks5", script))
        with pytest.raises(ProxyFailed, match="Connection refused"):
            await transport.exchange(Request("GET", "http://gateway.example/"), 10)
        await transport.aclose()


def basic(user: str, password: str) -> bytes:
    return base64.b64encode(f"{user}:{password}".encode())


@pytest.mark.parametrize("url", ["http://gateway.example/x", "https://gateway.example/x"])
async def test_a_proxy_that_repeats_the_credentials_is_not_repeated(url: str, factory: TransportFactory) -> None:
    echo = b"HTTP/1.1 407 who is me:%b %b\r\ncontent-length: 0\r\n\r\n" % (SECRET.encode(), basic("me", SECRET))
    async with scripted(echo) as script:
        transport = factory.open(address("http", script))
        with pytest.raises(ProxyFailed, match="HTTP 407") as caught:
            await transport.exchange(Request("GET", url), 10)
        assert basic("me", SECRET) in script.heard
        assert caught.value.__cause__ is None
        for secret in (SECRET, basic("me", SECRET).decode()):
            assert secret not in str(caught.value)
        await transport.aclose()


async def test_an_https_proxy_is_trusted_by_its_certificate(factory: TransportFactory, trusted: ssl.SSLContext) -> None:
    async with scripted(reply(PLAIN), tls=trusted) as script:
        transport = factory.open(address("https", script))
        answer = await transport.exchange(Request("GET", "http://gateway.example/x"), 10)
        assert answer.body == PLAIN
        assert b"GET http://gateway.example/x HTTP/1.1" in script.heard
        assert basic("me", SECRET) in script.heard
        await transport.aclose()


async def test_an_https_proxy_that_is_not_trusted_hears_nothing(factory: TransportFactory, tmp_path: Path) -> None:
    stranger = server_context(make_server(make_authority()), tmp_path)
    async with scripted(reply(PLAIN), tls=stranger) as script:
        transport = factory.open(address("https", script))
        with pytest.raises(ProxyFailed, match="not trusted"):
            await transport.exchange(Request("GET", "http://gateway.example/x"), 10)
        assert script.heard == b""
        await transport.aclose()


async def test_nobody_at_the_proxys_address(factory: TransportFactory) -> None:
    for scheme in ("http", "https", "socks5"):
        transport = factory.open(ProxyAddress(scheme, "127.0.0.1", 1, "me", Secret(SECRET)))
        with pytest.raises(ProxyFailed, match="Connection refused"):
            await transport.exchange(Request("GET", "http://gateway.example/"), 10)
        await transport.aclose()


async def test_a_proxy_is_not_used_for_an_address_that_is_none(factory: TransportFactory) -> None:
    transport = factory.open(ProxyAddress("http", "127.0.0.1", 1))
    with pytest.raises(TransportError):
        await transport.exchange(Request("GET", "ftp://gateway.example/"), 10)
    await transport.aclose()
