"""An echo service on loopback, and real proxies in front of it that leave by addresses of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret

USER = "fleet"
PASSWORD = "a-proxys-password"

Start = Callable[[str], Awaitable[ProxyAddress]]
"""Starts a proxy that leaves by this address; empty means no address of its own."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        async with asyncio.timeout(10):
            while not await accepts(port):
                assert process.returncode is None, f"{command[0]} did not start"
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class Echo:
    """Says who asks: at ``/json`` as an object, elsewhere as plain text. While `is_down` it answers HTTP 503."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.is_down = False

    def url(self, path: str = "/json") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            address = writer.get_extra_info("peername")[0]
            self.asked.append(address)
            body = json.dumps({"ip": address}) if head.split()[1].endswith(b"/json") else f"{address}\n"
            status = "503 Service Unavailable" if self.is_down else "200 OK"
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()
            )
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """Takes connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.close()


@pytest.fixture
async def tinyproxy(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(leaves_by: str) -> ProxyAddress:
            port = free_port()
            lines = [f"Port {port}", "Listen 127.0.0.1", "LogLevel Error", f'LogFile "{tmp_path / str(port)}.log"']
            lines += [f"BasicAuth {USER} {PASSWORD}", "Timeout 60", *([f"Bind {leaves_by}"] if leaves_by else [])]
            config = tmp_path / f"{port}.conf"
            config.write_text("\n".join(lines) + "\n")
            await stack.enter_async_context(running(port, "tinyproxy", "-d", "-c", str(config)))
            return ProxyAddress("http", "127.0.0.1", port, USER, Secret(PASSWORD))

        yield start


@pytest.fixture
async def microsocks() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(leaves_by: str) -> ProxyAddress:
            port = free_port()
            bind = ["-b", leaves_by] if leaves_by else []
            command = ["microsocks", "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD, *bind]
            await stack.enter_async_context(running(port, *command))
            return ProxyAddress("socks5", "127.0.0.1", port, USER, Secret(PASSWORD))

        yield start
