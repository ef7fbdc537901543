"""The way to the gateway: cut, mended, and cut for one alone; over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from node.domain.errors import ConnectFailed, TransportError
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.loadtest.driver.line import Line
from node.ports.transport import Request
from node.runtime.tasks import TaskOwner
from tests.support.waiting import wait_until

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Server:
    """Answers all requests but those for ``/hang``; knows which connections are open."""

    def __init__(self) -> None:
        self.open: set[asyncio.StreamWriter] = set()
        self.hanging = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/hang" in head:
                    self.hanging += 1
                else:
                    writer.write(HELLO)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = cast("tuple[str, int]", listening.sockets[0].getsockname())[1]
    server.url = f"http://127.0.0.1:{port}"
    async with listening:
        yield server
        for writer in list(server.open):
            writer.close()


@pytest.fixture
async def tasks() -> AsyncIterator[TaskOwner]:
    crashes: list[object] = []
    owner = TaskOwner(crashes.append)
    yield owner
    await owner.join()
    assert crashes == []


def line(tasks: TaskOwner) -> Line:
    tls = client_context()
    return Line(FastTransportFactory(tls, HttpxTransportFactory(tls), max_reply_bytes=1024), tasks)


async def test_a_cut_ends_what_is_under_way_and_closes_every_connection(server: Server, tasks: TaskOwner) -> None:
    way = line(tasks)
    one, other = way.open(None), way.open(None)
    assert (await other.exchange(Request("GET", f"{server.url}/"), 5)).body == b"hi"
    waiting = asyncio.create_task(one.exchange(Request("GET", f"{server.url}/hang"), 5))
    await wait_until(lambda: server.hanging)
    way.cut()
    with pytest.raises(TransportError):
        await waiting
    await wait_until(lambda: not server.open)
    with pytest.raises(ConnectFailed, match="the plan has cut the network"):
        await other.exchange(Request("GET", f"{server.url}/"), 5)
    way.mend()
    assert (await one.exchange(Request("GET", f"{server.url}/"), 5)).body == b"hi"
    assert (await other.exchange(Request("GET", f"{server.url}/"), 5)).body == b"hi"
    for transport in (one, other):
        await transport.aclose()
    await wait_until(lambda: not server.open)


async def test_two_cuts_need_two_mends(server: Server, tasks: TaskOwner) -> None:
    way = line(tasks)
    transport = way.open(None)
    way.cut()
    way.cut()
    way.mend()
    assert way.is_cut
    with pytest.raises(ConnectFailed):
        await transport.exchange(Request("GET", f"{server.url}/"), 5)
    way.mend()
    assert (await transport.exchange(Request("GET", f"{server.url}/"), 5)).status == 200
    await transport.aclose()


async def test_a_severed_transport_stays_so_and_hurts_no_other(server: Server, tasks: TaskOwner) -> None:
    way = line(tasks)
    dead, living = way.open(None), way.open(None)
    dying = asyncio.create_task(dead.exchange(Request("GET", f"{server.url}/hang"), 5))
    other = asyncio.create_task(living.exchange(Request("GET", f"{server.url}/hang"), 5))
    await wait_until(lambda: server.hanging == 2)
    way.sever(dead)
    with pytest.raises(TransportError):
        await dying
    with pytest.raises(ConnectFailed):
        await dead.exchange(Request("GET", f"{server.url}/"), 5)
    assert not other.done()
    assert (await living.exchange(Request("GET", f"{server.url}/"), 5)).body == b"hi"
    await living.aclose()
    with pytest.raises(TransportError):
        await other
    await living.aclose()
    with pytest.raises(ConnectFailed, match="closed"):
        await living.exchange(Request("GET", f"{server.url}/"), 5)
