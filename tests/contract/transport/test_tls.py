"""Whom a transport trusts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from node.domain.errors import ConnectFailed, TimedOut, TlsFailed, TransportError
from node.gateway.tls import client_context
from node.ports.transport import Request, Transport
from tests.contract.transport.certificates import (
    Identity,
    make_authority,
    make_server,
    server_context,
    write_certificate,
)
from tests.contract.transport.conftest import MAX_REPLY_BYTES, MakeFactory
from tests.contract.transport.raw_server import PLAIN, running
from tests.support.waiting import wait_until

TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def authority() -> Identity:
    return make_authority()


@pytest.fixture
async def trusting(make_factory: MakeFactory, authority: Identity, tmp_path: Path) -> AsyncIterator[Transport]:
    """A transport that trusts the test's own authority."""
    ca_file = write_certificate(authority, tmp_path / "ca.pem")
    transport = make_factory(client_context(ca_file), MAX_REPLY_BYTES).open(None)
    yield transport
    await transport.aclose()


async def ask(transport: Transport, identity: Identity, folder: Path) -> bytes:
    async with running(server_context(identity, folder)) as server:
        return (await transport.exchange(Request("GET", server.url("/ok")), TIMEOUT_S)).body


async def test_a_certificate_of_the_own_authority_is_good(
    trusting: Transport, authority: Identity, tmp_path: Path
) -> None:
    assert await ask(trusting, make_server(authority), tmp_path) == PLAIN


async def test_the_authority_may_stand_alone(make_factory: MakeFactory, authority: Identity, tmp_path: Path) -> None:
    context = client_context(write_certificate(authority, tmp_path / "ca.pem"), replace_defaults=True)
    assert context.cert_store_stats()["x509_ca"] == 1
    transport = make_factory(context, MAX_REPLY_BYTES).open(None)
    assert await ask(transport, make_server(authority), tmp_path) == PLAIN
    await transport.aclose()


async def test_an_unknown_authority_is_not_trusted(transport: Transport, authority: Identity, tmp_path: Path) -> None:
    with pytest.raises(TlsFailed, match="not trusted"):
        await ask(transport, make_server(authority), tmp_path)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("host", "not valid for"), ("name", "not valid for"), ("expired", "expired"), ("early", "not yet valid")],
)
async def test_a_certificate_that_is_not_good(
    trusting: Transport, authority: Identity, tmp_path: Path, fault: str, words: str
) -> None:
    identity = {
        "host": lambda: make_server(authority, san=x509.DNSName("gateway.example")),
        "name": lambda: make_server(authority, san=x509.DNSName("127.0.0.1")),
        "expired": lambda: make_server(authority, begin=timedelta(days=-3), end=timedelta(days=-2)),
        "early": lambda: make_server(authority, begin=timedelta(days=2), end=timedelta(days=3)),
    }[fault]()
    with pytest.raises(TlsFailed, match=words):
        await ask(trusting, identity, tmp_path)


async def test_who_signs_itself_is_not_trusted(trusting: Transport, tmp_path: Path) -> None:
    with pytest.raises(TlsFailed, match="self-signed"):
        await ask(trusting, make_server(None), tmp_path)


async def test_plain_http_where_tls_is_expected(trusting: Transport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    plain = await asyncio.start_server(talk, "127.0.0.1", 0)
    with pytest.raises(TlsFailed, match="handshake"):
        await trusting.exchange(Request("GET", f"https://127.0.0.1:{_port(plain)}/"), TIMEOUT_S)
    plain.close()
    await plain.wait_closed()


async def test_a_close_during_the_handshake(trusting: Transport) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    closing = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with pytest.raises((ConnectFailed, TlsFailed)):
        await trusting.exchange(Request("GET", f"https://127.0.0.1:{_port(closing)}/"), TIMEOUT_S)
    closing.close()
    await closing.wait_closed()


async def test_a_handshake_that_never_ends_leaves_no_socket_behind(
    trusting: Transport, authority: Identity, tmp_path: Path
) -> None:
    open_now = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        await reader.read(100_000)
        assert not await reader.read()
        writer.close()
        open_now -= 1

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    for _ in range(3):
        with pytest.raises(TimedOut, match="no connection"):
            await trusting.exchange(Request("GET", f"https://127.0.0.1:{_port(silent)}/"), 0.1)
    await wait_until(lambda: open_now == 0, what="the sockets are closed")
    silent.close()
    await silent.wait_closed()
    assert await ask(trusting, make_server(authority), tmp_path) == PLAIN


async def test_a_transport_works_after_a_bad_certificate(
    trusting: Transport, authority: Identity, tmp_path: Path
) -> None:
    with pytest.raises(TransportError):
        await ask(trusting, make_server(None), tmp_path)
    assert await ask(trusting, make_server(authority), tmp_path) == PLAIN


def test_a_context_verifies() -> None:
    context = client_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def _port(server: asyncio.Server) -> int:
    port = server.sockets[0].getsockname()[1]
    assert isinstance(port, int)
    return port
