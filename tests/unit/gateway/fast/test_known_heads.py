"""Replies whose heads came before: they are read without a parser, and no differently."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from node.domain.errors import TransportError
from node.gateway.fast import known
from node.gateway.fast.known import KnownHeads
from node.gateway.fast.transport import FastTransport, FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import Reply, Request

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n"


@asynccontextmanager
async def answering(pieces: Sequence[bytes], closes: Callable[[int], bool]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers each request with the next piece, and the requests that came."""
    came: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(task) if (task := asyncio.current_task()) is not None else None
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                if b"content-length: " in request:
                    length = int(request.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    request += await reader.readexactly(length)
                came.append(request)
                for part in pieces[len(came) - 1].split(b"|"):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.02)
                if closes(len(came)):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()
        gc.collect(1)


async def replies(*pieces: bytes, closes: Callable[[int], bool] = lambda _: False) -> list[Reply | str]:
    """What a node reads of these answers, one after the other; errors by their type's name."""
    tls = client_context()
    factory = FastTransportFactory(tls, HttpxTransportFactory(tls), max_reply_bytes=1 << 20)
    async with answering(pieces, closes) as (url, _):
        transport = factory.open(None)
        got = [await one(transport, url) for _ in pieces]
        await transport.aclose()
        return got


async def one(transport: object, url: str) -> Reply | str:
    assert isinstance(transport, FastTransport)
    try:
        return await transport.exchange(Request("GET", f"{url}/a"), 5.0)
    except TransportError as error:
        return type(error).__name__


def bodies(got: list[Reply | str]) -> list[bytes | str]:
    return [reply if isinstance(reply, str) else reply.body for reply in got]


async def test_a_known_head_goes_with_the_body_that_came() -> None:
    got = await replies(HEAD + b"one", HEAD + b"two", HEAD + b"six")
    assert bodies(got) == [b"one", b"two", b"six"]
    assert all(isinstance(reply, Reply) and reply.headers["content-type"] == "application/json" for reply in got)


@pytest.mark.parametrize(
    "cut", [b"|" + HEAD + b"two", HEAD + b"t|wo", HEAD + b"|two", HEAD[:30] + b"|" + HEAD[30:] + b"two"]
)
async def test_a_reply_in_pieces_is_read_whole(cut: bytes) -> None:
    assert bodies(await replies(HEAD + b"one", cut, HEAD + b"six")) == [b"one", b"two", b"six"]


async def test_bytes_beyond_a_reply_are_not_taken_for_the_next() -> None:
    surplus = HEAD + b"two" + HEAD + b"bad"
    assert bodies(await replies(HEAD + b"one", surplus, HEAD + b"six", closes=lambda n: n == 2)) == [
        b"one",
        b"two",
        b"six",
    ]


async def test_a_reply_that_is_cut_off_is_none() -> None:
    got = bodies(await replies(HEAD + b"one", HEAD + b"tw", HEAD + b"six", closes=lambda n: n == 2))
    assert got == [b"one", "BrokenReply", b"six"]


async def test_a_status_without_a_body_is_known_by_its_head_alone() -> None:
    none = b"HTTP/1.1 204 No Content\r\nserver: a\r\n\r\n"
    got = await replies(none, none, HEAD + b"one", none)
    assert [reply.status for reply in got if isinstance(reply, Reply)] == [204, 204, 200, 204]
    assert bodies(got) == [b"", b"", b"one", b""]


async def test_an_interim_reply_is_passed_over_each_time() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
    assert bodies(await replies(interim + HEAD + b"one", interim + HEAD + b"two")) == [b"one", b"two"]


async def test_a_chunked_reply_is_read_anew_each_time() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    assert bodies(await replies(chunked % (3, b"one"), chunked % (5, b"three"))) == [b"one", b"three"]


async def test_a_reply_that_ends_its_connection_does_so_again() -> None:
    last = HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    got = bodies(await replies(last + b"one", last + b"two", closes=lambda _: True))
    assert got == [b"one", b"two"]


async def test_posts_to_one_address_share_their_head_and_not_their_bodies() -> None:
    tls = client_context()
    factory = FastTransportFactory(tls, HttpxTransportFactory(tls), max_reply_bytes=1 << 20)
    headers = (("authorization", "Bearer t"),)
    async with answering([HEAD + b"yes"] * 5, lambda _: False) as (url, came):
        transport = factory.open(None)
        for body in (b"a", b"bb", b"", b"dddd"):
            await transport.exchange(Request("POST", f"{url}/a", headers, body), 5.0)
        await transport.exchange(Request("PUT", f"{url}/a", headers, b"e"), 5.0)
        await transport.aclose()
    assert [request.partition(b"\r\n\r\n")[2] for request in came] == [b"a", b"bb", b"", b"dddd", b"e"]
    lengths = [int(request.partition(b"content-length: ")[2].partition(b"\r\n")[0]) for request in came]
    assert lengths == [1, 2, 0, 4, 1]
    assert all(b"authorization: Bearer t\r\n" in request for request in came)
    assert [request.partition(b" ")[0] for request in came] == [b"POST"] * 4 + [b"PUT"]


@pytest.mark.interpreted
def test_heads_that_never_come_again_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_MOST", 10)
    heads = KnownHeads()
    for number in range(95):
        heads.learn(b"HTTP/1.1 200 OK\r\nx: %d\r\n\r\n" % number, 0, 200, [])
    assert 0 < len(heads) <= 10
    heads.learn(b"HTTP/1.1 200 OK\r\nx: %s\r\n\r\n" % (b"y" * 5000), 0, 200, [])
    assert len(heads) <= 10
