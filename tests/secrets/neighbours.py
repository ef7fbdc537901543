"""Those that a node in production talks to besides its gateway: each repeats what it was told, and keeps what it got."""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus, urlsplit

import confluent_kafka
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.secrets.engine import JSON, EchoingEngine, Heard, reply

_PROXY_SIDE: Final = ("127.0.0.72", 0)
"""From where the proxy connects, so that it hides the direct address."""


Answer = Callable[[Heard], Awaitable[bytes]]


class Neighbour:
    """An HTTP server that answers one request a connection, whatever bytes it likes."""

    def __init__(self, answer: Answer) -> None:
        self.url = ""
        self.heard: list[Heard] = []
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = request.split()
            self.heard.append(Heard(method, target, headers, body))
            writer.write(await self._answer(self.heard[-1]))
            await writer.drain()
        writer.close()


class EchoingProxy:
    """Passes requests on, but for some that it answers itself, with the account that it was shown."""

    def __init__(self) -> None:
        self.echoes = 0
        self._rounds = itertools.count()

    async def answer(self, heard: Heard) -> bytes:
        account = heard.headers.get("proxy-authorization", "no account").removeprefix("Basic ")
        if next(self._rounds) % 12 == 11:
            self.echoes += 1
            shown = base64.b64decode(account).decode() if account != "no account" else account
            said = json.dumps({"detail": f"not for {shown}, {quote_plus(shown)}, {account}"}).encode()
            return reply((407, 502, 503)[self.echoes % 3], said, JSON, f"Proxy-Authenticate: Basic {account}")
        place = urlsplit(heard.target)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, local_addr=_PROXY_SIDE)
        kept = {name: text for name, text in heard.headers.items() if not name.startswith(("proxy-", "connection"))}
        path = place._replace(scheme="", netloc="").geturl()
        lines = [f"{heard.method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in kept.items())]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + heard.body)
        try:
            return await reader.read()
        finally:
            writer.close()


class Taker:
    """Takes what is posted to it; says all that it was told of instead at first, and now and then."""

    def __init__(self) -> None:
        self._rounds = itertools.count()

    async def answer(self, heard: Heard) -> bytes:
        if next(self._rounds) % 3:
            return reply(200, b"", "text/plain")
        told = f"{heard.target} {sorted(heard.headers.items())}"
        return reply((503, 400, 429)[next(self._rounds) % 3], told.encode(), "text/plain", f"x-error: {heard.target}")


@dataclass
class Neighbours:
    """All of them, while they serve."""

    engine: EchoingEngine
    proxy: EchoingProxy
    openai: Neighbour
    ollama: Neighbour
    way: Neighbour
    hook: Neighbour
    collector: Neighbour
    brokers: str = ""
    statuses: list[bytes] = field(default_factory=list)
    """What systemd heard."""
    loop: asyncio.AbstractEventLoop | None = None
    ended: asyncio.Event | None = None

    def received(self) -> Iterator[tuple[str, bytes]]:
        """What was told to others: bodies posted to the webhook, spans, events, lines for systemd."""
        yield "webhook", b"\n".join(heard.body for heard in self.hook.heard)
        yield "spans", b"\n".join(map(_spans, self.collector.heard))
        yield "systemd", b"\n".join(self.statuses)


def _spans(heard: Heard) -> bytes:
    body = gzip.decompress(heard.body) if heard.headers.get("content-encoding") == "gzip" else heard.body
    return body + str(ExportTraceServiceRequest.FromString(body)).encode()


@contextmanager
def neighbours(engine: EchoingEngine) -> Iterator[Neighbours]:
    """Serve on a thread within the block."""
    proxy = EchoingProxy()
    servers = [Neighbour(answer) for answer in (engine.openai, engine.ollama, proxy.answer)]
    servers += [Neighbour(Taker().answer) for _ in range(2)]
    ready = threading.Event()
    around = Neighbours(engine, proxy, *servers)

    async def serve() -> None:
        around.loop, around.ended = asyncio.get_running_loop(), asyncio.Event()
        for server in servers:
            await server.start()
        ready.set()
        await around.ended.wait()
        for server in servers:
            server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield around
    finally:
        if around.loop is not None and around.ended is not None:
            around.loop.call_soon_threadsafe(around.ended.set)
        thread.join(10)


@contextmanager
def systemd(path: Path, heard: list[bytes]) -> Iterator[None]:
    """Listen at a socket as systemd does within the block."""
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(0.1)

        def listen() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    heard.append(listener.recv(65536))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(10)


class Kafka:
    """librdkafka's mock cluster."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._cluster = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        known = self._cluster.list_topics(timeout=10).brokers.values()
        self.brokers = ",".join(f"{broker.host}:{broker.port}" for broker in known)

    def messages(self) -> bytes:
        """Keys, headers and texts of all messages of the topic so far, a line each."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.brokers, "group.id": "scan", "log_level": 0, "enable.partition.eof": True}
        )
        try:
            partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            consumer.assign([confluent_kafka.TopicPartition(self.topic, number, 0) for number in partitions])
            lines, at_end = [], 0
            while at_end < len(partitions):
                message = consumer.poll(10)
                assert message is not None, "Kafka is silent"
                if message.error() is not None:
                    at_end += 1
                else:
                    lines.append(b"%b %b %r" % (message.key(), message.value(), message.headers()))
            return b"\n".join(lines)
        finally:
            consumer.close()
