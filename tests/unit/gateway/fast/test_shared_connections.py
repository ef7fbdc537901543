"""Connections that all nodes share: who opens them, who closes them, and what happens when all ask at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from node.domain.errors import BrokenReply, TimedOut
from node.domain.proxies import ProxyAddress
from node.gateway.fast import pool
from node.gateway.fast.connection import Connection
from node.gateway.fast.transport import FastTransport, FastTransportFactory
from node.gateway.httpx_transport import HttpxTransport, HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import Request, Transport
from tests.contract.transport.raw_server import PLAIN, RawServer, running
from tests.support.waiting import wait_until

TIMEOUT_S = 10.0


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with running() as state:
        yield state
    gc.collect(1)  # A socket left open warns now, in the test that left it.


@pytest.fixture
def factory() -> FastTransportFactory:
    tls = client_context()
    return FastTransportFactory(tls, HttpxTransportFactory(tls), max_reply_bytes=1 << 20)


async def get(transport: Transport, server: RawServer, path: str = "/ok", timeout_s: float = TIMEOUT_S) -> bytes:
    return (await transport.exchange(Request("GET", server.url(path)), timeout_s)).body


async def test_nodes_share_connections_and_the_last_to_leave_closes_them(
    factory: FastTransportFactory, server: RawServer
) -> None:
    transports = [factory.open(None) for _ in range(20)]
    for transport in transports:
        assert await get(transport, server) == PLAIN
    assert server.connections == 1
    for transport in transports[1:]:
        await transport.aclose()
    assert await get(transports[0], server) == PLAIN
    assert (server.connections, server.open) == (1, 1)
    await transports[0].aclose()
    await wait_until(lambda: server.open == 0)


async def test_a_fleet_that_comes_back_opens_connections_anew(factory: FastTransportFactory, server: RawServer) -> None:
    for _ in range(2):
        transport = factory.open(None)
        assert await get(transport, server) == PLAIN
        await transport.aclose()
    await wait_until(lambda: server.open == 0)
    assert server.connections == 2


@pytest.mark.interpreted
async def test_what_rests_for_too_long_is_closed(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEEPALIVE_S", 0.1)
    monkeypatch.setattr(pool, "_SWEEP_S", 0.02)
    transport = factory.open(None)
    await get(transport, server)
    await wait_until(lambda: server.open == 0, what="the connection is closed")
    assert await get(transport, server) == PLAIN
    assert server.connections == 2
    await transport.aclose()


def connections_to(server: RawServer) -> list[Connection]:
    gc.collect()
    where = server.url("").split("/")[2]
    return [each for each in gc.get_objects() if isinstance(each, Connection) and each._where == where]


@pytest.mark.interpreted
async def test_what_was_closed_at_rest_is_let_go_of(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_SWEEP_S", 0.02)
    transport = factory.open(None)
    await get(transport, server, "/close-after")
    await wait_until(lambda: server.open == 0, what="the connection is closed")
    await wait_until(lambda: not connections_to(server), what="nothing refers to it")
    await transport.aclose()


@pytest.mark.interpreted
async def test_whoever_closes_waits_until_all_are_closed(factory: FastTransportFactory, server: RawServer) -> None:
    transport = factory.open(None)
    await asyncio.gather(*(get(transport, server) for _ in range(5)))
    connections = connections_to(server)
    assert connections
    assert not any(connection.is_lost for connection in connections)
    await transport.aclose()
    assert all(connection.is_lost for connection in connections)


@pytest.mark.interpreted
async def test_when_all_ask_at_once_most_wait_for_a_connection_that_is_there(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST_OPENING", 3)
    transports = [factory.open(None) for _ in range(200)]
    replies = await asyncio.gather(*(get(transport, server) for transport in transports))
    assert replies == [PLAIN] * 200
    assert server.connections < 100
    for transport in transports:
        await transport.aclose()


@pytest.mark.interpreted
async def test_connections_that_stay_busy_hold_nobody_up(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are polls that a gateway holds open are opened, only not all at once."""
    monkeypatch.setattr(pool, "MOST_OPENING", 2)
    transports = [factory.open(None) for _ in range(30)]
    held = [asyncio.create_task(get(transport, server, "/hang")) for transport in transports]
    await wait_until(lambda: len(server.seen) == 30)
    assert server.connections == 30
    for transport in transports:
        await transport.aclose()
    assert all(isinstance(end, BrokenReply) for end in await asyncio.gather(*held, return_exceptions=True))


@pytest.mark.interpreted
async def test_a_turn_that_does_not_come_ends_in_time_and_with_its_transport(
    factory: FastTransportFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST_OPENING", 1)
    ended = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.append(True)

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"  # a handshake that nobody answers
    first, second, third = (factory.open(None) for _ in range(3))
    opening = asyncio.create_task(first.exchange(Request("GET", url), TIMEOUT_S))
    await asyncio.sleep(0)
    closed = asyncio.create_task(third.exchange(Request("GET", url), TIMEOUT_S))
    with pytest.raises(TimedOut, match=r"no connection in 0\.05 s"):
        await second.exchange(Request("GET", url), 0.05)
    await third.aclose()
    with pytest.raises(BrokenReply):
        await closed
    await first.aclose()
    with pytest.raises(BrokenReply):
        await opening
    await second.aclose()
    await wait_until(lambda: ended)
    listener.close()
    await listener.wait_closed()


@pytest.mark.interpreted
async def test_who_is_cancelled_passes_the_turn_on(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST_OPENING", 1)
    transports = [factory.open(None) for _ in range(12)]
    for turns in range(0, 40, 2):
        tasks = [asyncio.create_task(get(transport, server)) for transport in transports]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        async with asyncio.timeout(TIMEOUT_S):
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert ends[1::2] == [PLAIN] * 6
    for transport in transports:
        await transport.aclose()
    await wait_until(lambda: server.open == 0, what="nothing is left open")


@pytest.mark.parametrize("path", ["/stale", "/stale-reset"])
async def test_a_gateway_that_restarts_is_no_storm_of_errors(
    factory: FastTransportFactory, server: RawServer, path: str
) -> None:
    """Every kept connection is found closed when it is used again: each GET is sent once more, each POST told."""
    transports = [factory.open(None) for _ in range(40)]
    await asyncio.gather(*(get(transport, server, path) for transport in transports))
    kept, asked = server.connections, len(server.seen)
    gets = [get(transport, server, path) for transport in transports[:20]]
    posts = [transport.exchange(Request("POST", server.url(path)), TIMEOUT_S) for transport in transports[20:]]
    ends = await asyncio.gather(*gets, *posts, return_exceptions=True)
    assert not [end for end in ends[:20] if isinstance(end, BaseException)]
    told = [end for end in ends[20:] if isinstance(end, BrokenReply)]
    assert len(told) == len([end for end in ends[20:] if isinstance(end, BaseException)])
    assert len(server.seen) <= asked + 60
    assert kept <= 40
    for transport in transports:
        await transport.aclose()
    await wait_until(lambda: server.open == 0)


def test_proxies_by_socks_and_tls_are_left_to_the_stock_transport(factory: FastTransportFactory) -> None:
    for scheme in ("socks5", "https"):
        assert isinstance(factory.open(ProxyAddress(scheme, "127.0.0.1", 1)), HttpxTransport)


async def test_proxies_by_http_are_not(factory: FastTransportFactory) -> None:
    transport = factory.open(ProxyAddress("http", "127.0.0.1", 1))
    assert isinstance(transport, FastTransport)
    await transport.aclose()


async def test_an_exchange_is_not_cut_by_the_end_of_the_one_before_it(
    factory: FastTransportFactory, server: RawServer
) -> None:
    """Its reply has come and its connection carries another request, when its task is cancelled before its next turn."""
    transport = factory.open(None)
    await get(transport, server)
    former = asyncio.create_task(get(transport, server))
    await asyncio.sleep(0)
    waits_for = former._fut_waiter  # type: ignore[attr-defined]
    assert waits_for is not None
    while not waits_for.done():  # noqa: ASYNC110 - each turn of the loop counts
        await asyncio.sleep(0)
    # This task was in the loop's queue before the one whose reply has come: that one is told of it after this turn.
    following = transport.exchange(Request("GET", server.url("/ok")), TIMEOUT_S)
    reply = following.send(None)
    former.cancel()
    await wait_until(reply.done, what="the following exchange has its reply")
    with pytest.raises(StopIteration) as ended:
        following.send(None)
    assert ended.value.value.body == PLAIN
    assert former.cancelled()
    assert server.connections == 1
    await transport.aclose()


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], ids=["end", "reply"])
@pytest.mark.interpreted
async def test_what_comes_before_a_request_is_sent_is_no_reply_to_it_and_it_goes_out_anew(
    factory: FastTransportFactory, server: RawServer, monkeypatch: pytest.MonkeyPatch, unasked: bytes
) -> None:
    """A POST, too: not a byte of it has been sent."""
    writers: list[asyncio.StreamWriter] = []

    async def met(self: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(self, reader, writer)

    serve = RawServer.serve
    monkeypatch.setattr(RawServer, "serve", met)
    transport = factory.open(None)
    assert await get(transport, server) == PLAIN
    flush_soon, held = pool.Pool.flush_soon, []
    monkeypatch.setattr(pool.Pool, "flush_soon", lambda _, connection: held.append(connection))
    exchange = asyncio.create_task(transport.exchange(Request("POST", server.url("/ok"), body=b"{}"), TIMEOUT_S))
    await wait_until(lambda: held, what="the request waits to be sent")
    monkeypatch.setattr(pool.Pool, "flush_soon", flush_soon)
    if unasked:
        writers[0].write(unasked)
    else:
        writers[0].close()
    assert (await exchange).body == PLAIN
    held[0].flush()
    assert [(seen.method, seen.connection) for seen in server.seen] == [("GET", 1), ("POST", 2)]
    await transport.aclose()
    await wait_until(lambda: server.open == 0)
