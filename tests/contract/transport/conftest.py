"""Which transports there are, and what they are tried against."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import Transport, TransportFactory
from tests.contract.transport.raw_server import RawServer, running

MakeFactory = Callable[[ssl.SSLContext, int], TransportFactory]
"""Makes a factory from a TLS context and the most bytes that a reply's body may have."""

TRANSPORTS: dict[str, MakeFactory] = {
    "httpx": lambda tls, max_reply_bytes: HttpxTransportFactory(tls, max_reply_bytes=max_reply_bytes),
    "fast": lambda tls, max_reply_bytes: FastTransportFactory(
        tls, HttpxTransportFactory(tls, max_reply_bytes=max_reply_bytes), max_reply_bytes=max_reply_bytes
    ),
}

MAX_REPLY_BYTES = 6_000_000


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    return client_context()


@pytest.fixture(params=list(TRANSPORTS))
def make_factory(request: pytest.FixtureRequest) -> MakeFactory:
    return TRANSPORTS[request.param]


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with running() as state:
        yield state


@pytest.fixture
async def transport(make_factory: MakeFactory, tls: ssl.SSLContext) -> AsyncIterator[Transport]:
    transport = make_factory(tls, MAX_REPLY_BYTES).open(None)
    yield transport
    await transport.aclose()
    gc.collect(1)  # A socket left open warns now, in the test that left it.
