"""A server on bare sockets that answers with what a script says, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import assert_never

from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Slowly:
    """These bytes one by one."""

    data: bytes
    every_s: float = 0.02


@dataclass(frozen=True)
class Forever:
    """These bytes again and again, until the other side has had enough."""

    data: bytes
    every_s: float = 0.0


class End(Enum):
    """How a script leaves its connection; a script without one waits for the next request."""

    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()
    """Nothing is said any more, and what the other side says is read."""


Part = bytes | Slowly | Forever | End
Script = tuple[Part, ...]


@dataclass(frozen=True)
class Asked:
    """A request as it came, and on which connection, counted from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query, and in the form that a proxy is sent without the host."""
        target = self.target.partition("?")[0]
        return "/" + target.partition("://")[2].partition("/")[2] if "://" in target else target


Answer = Callable[[Asked], Script]


@dataclass
class EvilServer:
    """What is answered is up to ``answer``.

    By the number of a connection ``greeting`` gives what is said on it before anything is read, and ``tls`` its
    context, None for plain text.
    """

    answer: Answer
    greeting: Callable[[int], Script] = lambda _connection: ()
    tls: Callable[[int], ssl.SSLContext | None] = lambda _connection: None
    scheme: str = "http"
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    sent_bytes: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self.open.add(writer)
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            if await self._play(self.greeting(connection), reader, writer):
                await self._secure(writer, connection)
                while await self._play(await self._next(reader, connection), reader, writer):
                    pass
        writer.transport.abort()
        self.open.discard(writer)

    async def _secure(self, writer: asyncio.StreamWriter, connection: int) -> None:
        context = self.tls(connection)
        if context is not None:
            await writer.start_tls(context)

    async def _next(self, reader: asyncio.StreamReader, connection: int) -> Script:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        asked = Asked(method, target, headers, body, connection)
        self.asked.append(asked)
        return self.answer(asked)

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Say it all; whether another request is to be read."""
        for part in script:
            match part:
                case bytes():
                    await self._say(part, writer)
                case Slowly(data, every_s):
                    for byte in data:
                        await self._say(bytes([byte]), writer)
                        await asyncio.sleep(every_s)
                case Forever(data, every_s):
                    while not writer.is_closing():
                        await self._say(data, writer)
                        await asyncio.sleep(every_s)
                case End():
                    await self._end(part, reader, writer)
                    return False
        return True

    async def _end(self, end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match end:
            case End.SILENCE:
                while await reader.read(65536):
                    pass
            case End.RESET:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case End.CLOSE:
                # Not with an RST, which would throw away what was sent.
                writer.close()
                await writer.wait_closed()
            case _:
                assert_never(end)

    async def _say(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        self.sent_bytes += len(data)


@asynccontextmanager
async def serving(server: EvilServer) -> AsyncIterator[EvilServer]:
    """The server on a free loopback port."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer), name="evil connection")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for writer in set(server.open):
            writer.transport.abort()
        for task in set(tasks):
            task.cancel()
        await wait_until(lambda: not tasks, what="the evil server's connections end")
        await listener.wait_closed()


@asynccontextmanager
async def bait() -> AsyncIterator[EvilServer]:
    """A server to which nobody must ever come."""
    async with serving(EvilServer(lambda _asked: (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",))) as server:
        yield server
        assert server.connections == 0, f"somebody came to where no one should go: {server.asked}"
