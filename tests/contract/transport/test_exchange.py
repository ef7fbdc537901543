"""What every transport makes of a server's replies, good and bad."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tracemalloc
from contextlib import suppress

import pytest

from node.domain.errors import BrokenReply, ConnectFailed, ReplyTooLarge, TimedOut, TransportError
from node.ports.transport import Request, Transport
from tests.contract.transport.conftest import MakeFactory
from tests.contract.transport.raw_server import PLAIN, RawServer
from tests.support.waiting import wait_until

TIMEOUT_S = 10.0
JSON = ("content-type", "application/json")


async def get(transport: Transport, server: RawServer, path: str, timeout_s: float = TIMEOUT_S) -> bytes:
    reply = await transport.exchange(Request("GET", server.url(path)), timeout_s)
    assert reply.status == 200
    return reply.body


@pytest.mark.parametrize(
    "path", ["/ok", "/chunked", "/until-close", "/http-1.0", "/early-hints", "/close-after", "/identity"]
)
async def test_reads_a_reply_however_it_is_framed(transport: Transport, server: RawServer, path: str) -> None:
    assert await get(transport, server, path) == PLAIN
    assert await get(transport, server, "/ok") == PLAIN


async def test_gives_status_and_headers_with_names_in_lower_case(transport: Transport, server: RawServer) -> None:
    reply = await transport.exchange(Request("GET", server.url("/ok")), TIMEOUT_S)
    assert (reply.status, reply.headers["x-part"]) == (200, "one, two")
    reply = await transport.exchange(Request("GET", server.url("/unavailable")), TIMEOUT_S)
    assert (reply.status, reply.headers["retry-after"], reply.body) == (503, "7", b"<html>")


async def test_reads_204_and_keeps_the_connection(transport: Transport, server: RawServer) -> None:
    reply = await transport.exchange(Request("GET", server.url("/none")), TIMEOUT_S)
    assert (reply.status, reply.body) == (204, b"")
    await get(transport, server, "/ok")
    assert server.connections == 1


async def test_reads_five_megabytes(transport: Transport, server: RawServer) -> None:
    assert len(await get(transport, server, "/five-megabytes")) == 5_000_000


async def test_sends_method_headers_and_body(transport: Transport, server: RawServer) -> None:
    request = Request("POST", server.url("/echo?a=b%20c"), (("authorization", "Bearer t"), JSON), b'{"x":1}')
    echo = json.loads((await transport.exchange(request, TIMEOUT_S)).body)
    assert (echo["method"], echo["body"]) == ("POST", '{"x":1}')
    headers = echo["headers"]
    assert (headers["authorization"], headers["content-type"]) == ("Bearer t", "application/json")
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert server.seen[0].path == "/echo?a=b%20c"


async def test_a_post_without_a_body_says_so(transport: Transport, server: RawServer) -> None:
    await transport.exchange(Request("POST", server.url("/echo")), TIMEOUT_S)
    assert server.seen[0].headers["content-length"] == "0"


async def test_one_connection_serves_many_requests(transport: Transport, server: RawServer) -> None:
    for _ in range(20):
        await get(transport, server, "/ok")
    assert server.connections == 1


async def test_exchanges_overlap(transport: Transport, server: RawServer) -> None:
    hanging = asyncio.create_task(get(transport, server, "/hang"))
    await wait_until(lambda: server.seen)
    assert await get(transport, server, "/ok") == PLAIN
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_follows_no_redirect(transport: Transport, server: RawServer) -> None:
    for path in ("/redirect", "/redirect-nowhere"):
        reply = await transport.exchange(Request("GET", server.url(path)), TIMEOUT_S)
        assert reply.status in {302, 307}
    assert server.paths == ["/redirect", "/redirect-nowhere"]


async def test_keeps_no_cookies(transport: Transport, server: RawServer) -> None:
    await get(transport, server, "/cookie")
    await get(transport, server, "/echo")
    assert "cookie" not in server.seen[1].headers


async def test_a_401_is_a_reply_like_any_other(transport: Transport, server: RawServer) -> None:
    for path, status in (("/unauthorized", 401), ("/proxy-unauthorized", 407)):
        reply = await transport.exchange(Request("GET", server.url(path)), TIMEOUT_S)
        assert reply.status == status
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/cut-in-head",
        "/cut",
        "/cut-chunked",
        "/closes",
        "/resets",
        "/resets-in-body",
        "/garbage",
        "/bad-length",
        "/two-lengths",
        "/huge-head",
        "/gzip-cut",
        "/gzip-damaged",
        "/gzip-and-more",
        "/brotli",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_broken_reply_is_told_as_such_and_not_asked_for_again(
    transport: Transport, server: RawServer, path: str, method: str
) -> None:
    with pytest.raises(BrokenReply):
        await transport.exchange(Request(method, server.url(path)), TIMEOUT_S)
    assert server.paths == [path]
    assert await get(transport, server, "/ok") == PLAIN


async def test_bytes_after_a_reply_are_never_taken_for_the_next(transport: Transport, server: RawServer) -> None:
    assert await get(transport, server, "/short-length") == b"{}"
    with suppress(BrokenReply):
        assert await get(transport, server, "/ok") == PLAIN
    assert await get(transport, server, "/ok") == PLAIN


@pytest.mark.parametrize("path", ["/gzip", "/gzip-chunked", "/deflate", "/raw-deflate"])
async def test_decodes_what_is_compressed_unasked(transport: Transport, server: RawServer, path: str) -> None:
    assert await get(transport, server, path) == PLAIN


async def test_an_empty_body_is_never_compressed(transport: Transport, server: RawServer) -> None:
    assert await get(transport, server, "/gzip-empty") == b""


@pytest.mark.parametrize("path", ["/endless", "/bomb", "/announced-large", "/five-megabytes"])
async def test_a_body_beyond_the_limit_is_cut_and_costs_no_more_than_the_limit(
    make_factory: MakeFactory, tls: ssl.SSLContext, server: RawServer, path: str
) -> None:
    transport = make_factory(tls, 1_000_000).open(None)
    await get(transport, server, "/ok")
    tracemalloc.start()
    try:
        with pytest.raises(ReplyTooLarge):
            await transport.exchange(Request("GET", server.url(path)), TIMEOUT_S)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # the buffers of the server and of the loop included: up to 6.4 MB on a busy machine
    assert server.sent_bytes < 20_000_000
    assert await get(transport, server, "/ok") == PLAIN
    await transport.aclose()


async def test_a_body_of_just_the_limit_is_whole(
    make_factory: MakeFactory, tls: ssl.SSLContext, server: RawServer
) -> None:
    for limit, path in ((len(PLAIN), "/ok"), (len(PLAIN), "/chunked"), (5_000_000, "/five-megabytes")):
        transport = make_factory(tls, limit).open(None)
        await get(transport, server, path)
        await transport.aclose()
        transport = make_factory(tls, limit - 1).open(None)
        with pytest.raises(ReplyTooLarge):
            await get(transport, server, path)
        await transport.aclose()


@pytest.mark.parametrize("path", ["/hang", "/drip"])
async def test_the_deadline_bounds_the_whole_exchange(transport: Transport, server: RawServer, path: str) -> None:
    with pytest.raises(TimedOut, match=r"0\.2 s"):
        await transport.exchange(Request("GET", server.url(path)), 0.2)
    assert await get(transport, server, "/ok") == PLAIN
    await wait_until(lambda: server.open == 1, what="the connection that timed out is closed")


async def test_a_reply_that_comes_before_the_request_is_whole_is_read(transport: Transport, server: RawServer) -> None:
    reply = await transport.exchange(Request("POST", server.url("/early"), (JSON,), b"z" * 100), TIMEOUT_S)
    assert (reply.status, reply.body) == (413, b'{"detail":"too large"}')


async def test_nobody_there(transport: Transport, server: RawServer) -> None:
    with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:1: Connection refused"):
        await transport.exchange(Request("GET", "http://127.0.0.1:1/secret-path"), TIMEOUT_S)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "", "http://[::bad/", "http://127.0.0.1:99999/"])
async def test_an_address_that_is_none(transport: Transport, url: str) -> None:
    with pytest.raises(ConnectFailed):
        await transport.exchange(Request("GET", url), TIMEOUT_S)


async def test_a_header_that_cannot_be_sent_is_not_repeated(transport: Transport, server: RawServer) -> None:
    request = Request("GET", server.url("/ok"), (("authorization", "Bearer hunter2\r\nx: y"),))
    with pytest.raises(TransportError) as caught:
        await transport.exchange(request, TIMEOUT_S)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert await get(transport, server, "/ok") == PLAIN


async def test_the_environments_proxies_are_ignored(
    make_factory: MakeFactory, tls: ssl.SSLContext, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    transport = make_factory(tls, 1000).open(None)
    assert await get(transport, server, "/ok") == PLAIN
    await transport.aclose()
