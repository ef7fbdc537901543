"""A server that resets every connection as soon as it stands, on the event loop that the program runs on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

from node.domain.errors import BrokenReply, ConnectFailed
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import Request

RESET = struct.pack("ii", 1, 0)
"""Linger for no time: the connection is closed by a reset."""


@contextmanager
def resetting_server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_connection_that_is_gone_before_its_first_use_has_failed() -> None:
    """Some one in twenty-five is reset between the connect and the look at its socket, which uvloop then has no more."""
    ended: Counter[type[Exception]] = Counter()

    async def ask(port: int) -> None:
        transport = HttpxTransportFactory(client_context(None)).open(None)
        for _ in range(25):
            try:
                await transport.exchange(Request("POST", f"http://127.0.0.1:{port}/", (), b"x"), 10)
            except Exception as error:
                ended[type(error)] += 1
        await transport.aclose()

    async def main(port: int) -> None:
        await asyncio.gather(*(ask(port) for _ in range(20)))

    with resetting_server() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(port))
    assert set(ended) <= {ConnectFailed, BrokenReply}
    assert ended.total() == 500
