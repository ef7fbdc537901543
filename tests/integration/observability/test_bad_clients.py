"""Clients that hang, flood and dawdle at the health port: it answers probes all the same, and pays little for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from node.observability.bounded_http import BoundedProtocol, Bounds
from node.observability.health_server import HealthPolicy, HealthServer
from tests.support.waiting import wait_until
from tests.unit.observability.controlled import ControlledNode

PROBE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
HUGE = b"x" * 8_000_000

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Quick(BoundedProtocol):
    """Bounds that a test can wait for."""

    bounds = Bounds(connections=20, request_s=0.3)


class Patient(BoundedProtocol):
    """Few connections, for any time."""

    bounds = Bounds(connections=20, request_s=60)


@asynccontextmanager
async def serving(
    protocol: type[BoundedProtocol], metrics: Callable[[], bytes] = bytes
) -> AsyncIterator[Callable[[], asyncio.Future[Stream]]]:
    node, crashes = ControlledNode(), list[object]()
    async with AsyncExitStack() as stack:
        server = HealthServer(
            HealthPolicy(grace_s=1), node, node, metrics, lag_s=float, on_crash=crashes.append, protocol=protocol
        )
        await stack.enter_async_context(server)
        writers: list[asyncio.StreamWriter] = []
        stack.callback(lambda: [writer.transport.abort() for writer in writers])

        async def connect() -> Stream:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(writer)
            return reader, writer

        yield lambda: asyncio.ensure_future(connect())
    assert crashes == []


async def answered(stream: Stream) -> int:
    reader, writer = stream
    writer.write(PROBE)
    status = int((await reader.readline()).split()[1])
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length")]
    await reader.readexactly(length)
    return status


async def closed(stream: Stream, timeout_s: float = 5.0) -> bytes:
    """Wait until the server has ended the connection, and what it said before."""
    async with asyncio.timeout(timeout_s):
        try:
            return await stream[0].read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("start", [b"", b"GET /met", PROBE[:-2], b"\r\n"])
async def test_a_request_that_does_not_come_to_its_end_is_given_up(start: bytes) -> None:
    async with serving(Quick) as connect:
        stream = await connect()
        stream[1].write(start)
        assert await closed(stream) == b""
        assert await answered(await connect()) == 200


async def test_one_that_comes_byte_by_byte_has_no_more_time() -> None:
    async with serving(Quick) as connect:
        reader, writer = await connect()
        ended = asyncio.ensure_future(closed((reader, writer)))
        for _ in range(100):
            writer.write(b"X-A: b\r\n" if _ else PROBE[:-2])
            if (await asyncio.wait([ended], timeout=0.05))[0]:
                break
        assert ended.done(), "it may send headers for ever"


async def test_a_thousand_open_connections_do_not_keep_a_probe_out() -> None:
    async with serving(Patient) as connect:
        lasting = [await connect() for _ in range(5)]
        assert [await answered(stream) for stream in lasting] == [200] * 5
        for number in range(300):
            _, writer = await connect()
            writer.write(PROBE[: number % len(PROBE)])
            if number % 50 == 0:
                assert await answered(await connect()) == 200
        for stream in lasting:
            assert await closed(stream) == b"", "the oldest have made room"
        assert await answered(await connect()) == 200


async def test_a_head_that_does_not_end_is_cut() -> None:
    async with serving(Patient) as connect:
        for start in (
            b"GET /" + HUGE,
            b"GET / HTTP/1.1\r\nx: " + HUGE,
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000_000,
        ):
            stream = await connect()
            stream[1].write(start)
            assert len(await closed(stream)) < 1000
        assert await answered(await connect()) == 200


async def test_a_body_is_not_kept() -> None:
    async with serving(Quick) as connect:
        stream = await connect()
        stream[1].write(b"POST /control/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n")
        assert b" 401 " in await stream[0].readline()
        stream[1].write(HUGE)
        await closed(stream)
        assert await answered(await connect()) == 200


@pytest.mark.parametrize("last", [b"", b"connection: close\r\n"])
async def test_who_does_not_read_the_answer_is_given_up(last: bytes) -> None:
    lost: list[object] = []

    class Watched(Quick):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.append(self)

    async with serving(Watched, metrics=lambda: HUGE) as connect:
        _, writer = await connect()
        for _ in range(3):
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + last + b"\r\n")
        await wait_until(lambda: lost, 5, what="the connection is cut")
        assert await answered(await connect()) == 200


async def test_a_client_that_does_well_is_kept_for_many_requests() -> None:
    async with serving(Quick) as connect:
        stream = await connect()
        for _ in range(4):
            assert await answered(stream) == 200
            await asyncio.wait([asyncio.ensure_future(closed(await connect()))], timeout=0.4)
        stream[1].write(PROBE * 3)
        for _ in range(3):
            assert b" 200 " in await stream[0].readline()
            await stream[0].readuntil(b"}")
