"""An HTTP server on bare sockets, which does by path what real servers do wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.waiting import wait_until

BIG = b"x" * 65536


@dataclass(frozen=True)
class Seen:
    """A request as it came: on which connection (counted from 1) and from whom."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    peer: str


@dataclass
class RawServer:
    """What the server has seen; behaviours are functions of `BEHAVIOURS`, by path."""

    scheme: str = "http"
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    sent_bytes: int = 0
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    readers: dict[int, asyncio.StreamReader] = field(default_factory=dict)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        self.readers[number] = reader
        try:
            while not writer.is_closing():
                request = await self._read(reader, writer, number)
                self.seen.append(request)
                name = request.path.partition("?")[0].strip("/").split("/")[0]
                await BEHAVIOURS[name](self, request, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path
        return Seen(method, path, headers, body, number, writer.get_extra_info("peername")[0])


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on a free loopback port."""
    state = RawServer(scheme="http" if tls is None else "https")
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await state.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        state.ending.set()

        def is_left() -> bool:
            # One that was let in just now is served after the listener has closed.
            for writer in writers:
                writer.transport.abort()
            return state.open == 0

        await wait_until(is_left, what="all connections are closed")


Behaviour = Callable[[RawServer, Seen, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def fixed(*pieces: bytes, close: bool = False) -> Behaviour:
    """Send these bytes, whatever was asked."""

    async def behave(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        if close:
            writer.close()

    return behave


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def echo(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    said = {"method": request.method, "headers": request.headers, "body": request.body.decode(), "peer": request.peer}
    writer.write(reply(json.dumps(said).encode()))


async def hang(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    await server.readers[request.connection].read()
    writer.close()


async def resets(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def resets_in_body(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(b"part", length=100))
    await writer.drain()
    reset(writer)


async def drip(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(b"", length=100_000))
    while not server.ending.is_set():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not server.ending.is_set():
        writer.write(b"10000\r\n" + BIG + b"\r\n")
        await writer.drain()
        server.sent_bytes += len(BIG)


async def stale(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    """Reply on the first request of a connection; meet the next one there with a silent close."""
    if any(seen.connection == request.connection for seen in server.seen[:-1]):
        writer.close()
    else:
        writer.write(reply(b"{}"))


async def stale_reset(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    """The same with an RST."""
    if any(seen.connection == request.connection for seen in server.seen[:-1]):
        reset(writer)
    else:
        writer.write(reply(b"{}"))


async def early(server: RawServer, request: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(b'{"detail":"too large"}', "connection: close", status="413 Payload Too Large"))
    await writer.drain()
    writer.close()


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + end


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def bomb() -> bytes:
    """200 MB in 200 KB."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()


PLAIN = b'{"job_data": null}'
GZIPPED = gzip.compress(PLAIN)

BEHAVIOURS: dict[str, Behaviour] = {
    "ok": fixed(reply(PLAIN, "x-part: one", "X-Part: two")),
    "echo": echo,
    "none": fixed(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "five-megabytes": fixed(reply(b"y" * 5_000_000)),
    "chunked": fixed(chunked(b'{"job_', b'data": ', b"null}")),
    "until-close": fixed(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", PLAIN, close=True),
    "http-1.0": fixed(b"HTTP/1.0 200 OK\r\n\r\n", PLAIN, close=True),
    "early-hints": fixed(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", reply(PLAIN)),
    "unavailable": fixed(reply(b"<html>", "retry-after: 7", status="503 Service Unavailable")),
    "cut-in-head": fixed(b"HTTP/1.1 200 OK\r\ncontent-le", close=True),
    "cut": fixed(reply(b"part", length=100), close=True),
    "cut-chunked": fixed(chunked(b"part", end=b"ff\r\npa"), close=True),
    "closes": fixed(close=True),
    "resets": resets,
    "resets-in-body": resets_in_body,
    "garbage": fixed(b"\x16\x03\x01 what is this\r\n\r\n", close=True),
    "bad-length": fixed(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"),
    "two-lengths": fixed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "),
    "short-length": fixed(reply(b"{}and more", length=2)),
    "huge-head": fixed(b"HTTP/1.1 200 OK\r\n" + b"x: " + BIG * 4 + b"\r\n\r\n"),
    "hang": hang,
    "drip": drip,
    "endless": endless,
    "announced-large": fixed(reply(b"", length=10**12)),
    "gzip": fixed(reply(GZIPPED, "content-encoding: gzip")),
    "gzip-chunked": fixed(
        chunked(GZIPPED[:7], GZIPPED[7:]).replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n", 1)
    ),
    "deflate": fixed(reply(zlib.compress(PLAIN), "content-encoding: Deflate")),
    "raw-deflate": fixed(reply(raw_deflate(PLAIN), "content-encoding: deflate")),
    "identity": fixed(reply(PLAIN, "content-encoding: identity")),
    "gzip-empty": fixed(reply(b"", "content-encoding: gzip")),
    "gzip-cut": fixed(reply(GZIPPED[:-9], "content-encoding: gzip")),
    "gzip-damaged": fixed(reply(GZIPPED[:12] + b"\xff\xff" + GZIPPED[14:], "content-encoding: gzip")),
    "gzip-and-more": fixed(reply(GZIPPED + b"more", "content-encoding: gzip")),
    "brotli": fixed(reply(b"\x0b\x02\x80{}\x03", "content-encoding: br")),
    "bomb": fixed(reply(bomb(), "content-encoding: gzip")),
    "redirect": fixed(reply(b"", "location: /ok", status="302 Found")),
    "redirect-nowhere": fixed(reply(b"", "location: http://[:bad", status="307 Temporary Redirect")),
    "cookie": fixed(reply(b"{}", "set-cookie: who=me; Path=/")),
    "unauthorized": fixed(reply(b"{}", 'www-authenticate: Basic realm="x"', status="401 Unauthorized")),
    "proxy-unauthorized": fixed(reply(b"{}", status="407 Proxy Authentication Required")),
    "close-after": fixed(reply(PLAIN), close=True),
    "stale": stale,
    "stale-reset": stale_reset,
    "early": early,
}
