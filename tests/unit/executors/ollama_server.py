"""An Ollama server as far as its wire goes: HTTP/1.1, NDJSON chunk by chunk, errors and statuses.

Raw asyncio rather than a web framework, so that a test can cut, reset, stall and garble an answer at any byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

NDJSON = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
METRICS = {
    "total_duration": 1_200_300_400,
    "load_duration": 5_000_000,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 30_000_000,
    "eval_count": 7,
    "eval_duration": 900_000_000,
}
_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


@dataclass
class Exchange:
    """One request, and the pen with which a script writes its answer."""

    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    keep: bool = True

    @cached_property
    def chat(self) -> dict[str, Any]:
        """The request's body, whatever it asks for."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    @property
    def prompt(self) -> str:
        text: str = self.chat["messages"][-1]["content"]
        return text

    async def head(self, status: int = 200, content_type: str = NDJSON, *extra: str, chunked: bool = True) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}", f"Content-Type: {content_type}", *extra]
        lines.append("Transfer-Encoding: chunked" if chunked else "Connection: close")
        self.keep = self.keep and chunked
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def piece(self, content: str, **more: Any) -> dict[str, Any]:
        message = {"role": "assistant", "content": content, **more}
        return {"model": self.chat["model"], "created_at": "2026-08-21T09:00:00.123456789Z", "message": message}

    async def line(self, value: Any) -> None:
        await self.chunk(ndjson(value))

    async def part(self, content: str, **more: Any) -> None:
        await self.line({**self.piece(content, **more), "done": False})

    async def final(
        self, content: str = "", reason: str | None = "stop", metrics: dict[str, int] | None = None
    ) -> None:
        ending = {"done_reason": reason} if reason else {}
        await self.line({**self.piece(content), "done": True, **ending, **(METRICS if metrics is None else metrics)})

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Close without the end of the body."""
        self.keep = False

    def reset(self) -> None:
        self.keep = False
        linger_nothing = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_nothing)


Script = Callable[[Exchange], Awaitable[None]]


def ndjson(value: Any) -> bytes:
    """A line as Go's encoder writes it: compact, UTF-8, with LS and PS escaped and NEL not."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode() + b"\n"


def answering(*pieces: str, reason: str | None = "stop", metrics: dict[str, int] | None = None) -> Script:
    """A whole answer, a chunk a piece."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for piece in pieces:
            await exchange.part(piece)
        await exchange.final(reason=reason, metrics=metrics)
        await exchange.end()

    return script


async def echoing(exchange: Exchange) -> None:
    """Say the prompt, a word a chunk, with turns for others in between."""
    await exchange.head()
    for index, word in enumerate(exchange.prompt.split()):
        await exchange.part(word if index == 0 else f" {word}")
        await asyncio.sleep(0)
    await exchange.final()
    await exchange.end()


def refusing(status: int, error: str) -> Script:
    """An error before the first chunk: JSON with a status."""
    return saying(status, JSON, ndjson({"error": error}))


def saying(status: int, content_type: str, body: bytes, *headers: str) -> Script:
    """Any body."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(status, content_type, *headers)
        if body:
            await exchange.chunk(body)
        await exchange.end()

    return script


def stalling(*pieces: str) -> Script:
    """Begin to answer, or with no pieces not even that, and never go on."""

    async def script(exchange: Exchange) -> None:
        if pieces:
            await exchange.head()
        for piece in pieces:
            await exchange.part(piece)
        await asyncio.Event().wait()

    return script


def listing(*models: dict[str, Any]) -> Script:
    """An answer of ``/api/tags`` or ``/api/ps``."""
    return saying(200, JSON, ndjson({"models": list(models)}))


def embedding(dimensions: int = 3, **more: Any) -> Script:
    """An answer of ``/api/embed``: for each input a vector of its length and its place."""

    async def script(exchange: Exchange) -> None:
        inputs = exchange.chat["input"]
        vectors = [[float(len(text)), float(place), *[0.5] * (dimensions - 2)] for place, text in enumerate(inputs)]
        told = {"model": exchange.chat["model"], "embeddings": vectors, "total_duration": 14_143_917, **more}
        await saying(200, JSON, ndjson(told))(exchange)

    return script


def pulling(*lines: dict[str, Any]) -> Script:
    """An answer of ``/api/pull``, a chunk a line."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for line in lines:
            await exchange.line(line)
        await exchange.end()

    return script


async def moving(exchange: Exchange) -> None:
    """An answer of ``/api/chat`` without messages: the model is loaded, or with ``keep_alive`` 0 unloaded."""
    assert exchange.chat["messages"] == []
    reason = "load" if exchange.chat["keep_alive"] else "unload"
    await saying(200, JSON, ndjson({**exchange.piece(""), "done": True, "done_reason": reason}))(exchange)


_NO_MODELS = saying(200, JSON, b'{"models":[]}')


@dataclass
class OllamaServer:
    """Answers each chat with the next of `scripts`, then with `default`; counts what happens to it."""

    default: Script = field(default=answering("Hello", " there."))
    tags: Script = field(default=_NO_MODELS)
    ps: Script = field(default=_NO_MODELS)
    scripts: deque[Script] = field(default_factory=deque)
    requests: list[Exchange] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    running: int = 0
    peak: int = 0
    left: int = 0
    """Clients that went away in the middle of an answer."""
    url: str = ""
    _socket: socket.socket | None = None
    _server: asyncio.Server | None = None
    _tasks: dict[asyncio.Task[None], None] = field(default_factory=dict)

    def reserve(self) -> str:
        """Take a port on which nothing listens yet; returns the URL."""
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio does not turn Nagle's algorithm off
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that it can be started anew at once
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self.url

    async def start(self) -> None:
        if self._socket is None:
            self.reserve()
        self._server = await asyncio.start_server(self._connected, sock=self._socket)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def listed(self, path: str) -> Script | None:
        """What always answers a path; None where the scripts do."""
        return {"/api/tags": self.tags, "/api/ps": self.ps}.get(path)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="ollama-connection")
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = b""
        try:
            while True:
                head = early + await reader.readuntil(b"\r\n\r\n")
                request, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                exchange = Exchange(request.split()[1], headers, body, writer)
                rest = await self._answer(exchange, reader)
                if rest is None or not exchange.keep:
                    return
                early = rest
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, exchange: Exchange, reader: asyncio.StreamReader) -> bytes | None:
        """Run a script; None when the client went away meanwhile."""
        self.paths.append(exchange.path)
        script = self.listed(exchange.path)
        if script is None:
            self.requests.append(exchange)
            script = self.scripts.popleft() if self.scripts else self.default
        self.running += 1
        self.peak = max(self.peak, self.running)
        work = asyncio.ensure_future(script(exchange))
        watch = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
            if not work.done() or isinstance(work.exception(), ConnectionError):
                self.left += 1
                return None
            work.result()
            return watch.result() if watch.done() else b""
        finally:
            self.running -= 1
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)


@asynccontextmanager
async def ollama_server(default: Script | None = None) -> AsyncIterator[OllamaServer]:
    """A server that listens on a free loopback port."""
    server = OllamaServer(default) if default else OllamaServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
