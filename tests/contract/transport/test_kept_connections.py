"""Connections that are kept, closed by the other side, cancelled, and given up."""

from __future__ import annotations

import asyncio

import pytest

from node.domain.errors import BrokenReply, ConnectFailed, TransportError
from node.ports.transport import Request, Transport
from tests.contract.transport.raw_server import PLAIN, RawServer
from tests.support.waiting import wait_until

TIMEOUT_S = 10.0


async def exchange(transport: Transport, server: RawServer, path: str, method: str = "GET") -> bytes:
    return (await transport.exchange(Request(method, server.url(path)), TIMEOUT_S)).body


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_closed_while_idle_is_noticed(transport: Transport, server: RawServer, method: str) -> None:
    for _ in range(3):
        assert await exchange(transport, server, "/close-after", method) == PLAIN
        await wait_until(lambda: server.open == 0)
    assert len(server.seen) == 3


@pytest.mark.parametrize("path", ["/stale", "/stale-reset"])
async def test_a_get_that_meets_a_closed_connection_is_sent_again(
    transport: Transport, server: RawServer, path: str
) -> None:
    await exchange(transport, server, path)
    assert await exchange(transport, server, path) == b"{}"
    assert [seen.connection for seen in server.seen] == [1, 1, 2]


@pytest.mark.parametrize("path", ["/stale", "/stale-reset"])
async def test_a_post_that_meets_a_closed_connection_is_not_sent_again(
    transport: Transport, server: RawServer, path: str
) -> None:
    await exchange(transport, server, path, "POST")
    with pytest.raises(BrokenReply):
        await exchange(transport, server, path, "POST")
    assert [seen.connection for seen in server.seen] == [1, 1]


@pytest.mark.parametrize("path", ["/garbage", "/cut", "/resets-in-body"])
async def test_a_reply_that_breaks_on_a_kept_connection_is_not_asked_for_again(
    transport: Transport, server: RawServer, path: str
) -> None:
    await exchange(transport, server, "/ok")
    with pytest.raises(BrokenReply):
        await exchange(transport, server, path)
    assert server.paths == ["/ok", path]


@pytest.mark.parametrize("path", ["/ok", "/hang", "/drip", "/five-megabytes", "/stale"])
async def test_an_exchange_may_be_cancelled_at_any_moment(transport: Transport, server: RawServer, path: str) -> None:
    await exchange(transport, server, "/ok")
    for turns in range(0, 60, 2):
        task = asyncio.create_task(exchange(transport, server, path))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await exchange(transport, server, "/ok") == PLAIN
    await wait_until(lambda: server.open <= 1, what="cancelled connections are closed")


async def test_closing_cuts_what_is_under_way_and_is_final(transport: Transport, server: RawServer) -> None:
    paths = ["/hang", "/drip"]
    tasks = [asyncio.create_task(exchange(transport, server, path)) for path in paths]
    await wait_until(lambda: len(server.seen) == 2)
    async with asyncio.timeout(TIMEOUT_S / 2):
        await transport.aclose()
    for task in tasks:
        assert task.done()
        with pytest.raises(TransportError):
            await task
    await transport.aclose()
    with pytest.raises(ConnectFailed):
        await exchange(transport, server, "/ok")
    await wait_until(lambda: server.open == 0)


async def test_closing_cuts_a_connection_that_is_being_made(transport: Transport) -> None:
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        assert not await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    task = asyncio.create_task(transport.exchange(Request("GET", f"https://127.0.0.1:{port}/"), TIMEOUT_S))
    await connected.wait()
    async with asyncio.timeout(TIMEOUT_S / 2):
        await transport.aclose()
    with pytest.raises(TransportError):
        await task
    silent.close()
    await silent.wait_closed()


async def test_an_unused_transport_closes(transport: Transport) -> None:
    await transport.aclose()
