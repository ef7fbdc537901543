"""The program's own transports with nothing above them: polls, and that is all. Arguments: URL, users, transport."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import uvloop

from benchmarks.static_gateway import POLL, TOKEN
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import Request, Transport

_TIMEOUT_S: Final = 30.0


async def work(transport: Transport, request: Request) -> None:
    """Poll without end."""
    while True:
        reply = await transport.exchange(request, _TIMEOUT_S)
        if reply.status != 200:
            raise RuntimeError(f"it answered HTTP {reply.status}")


async def main(url: str, users: int, kind: str) -> None:
    """Run so many users."""
    tls = client_context()
    stock = HttpxTransportFactory(tls)
    factory = stock if kind == "httpx" else FastTransportFactory(tls, stock, max_reply_bytes=1 << 25)
    async with asyncio.TaskGroup() as group:
        for _ in range(users):
            request = Request("GET", f"{url}{POLL}?node_version=0.0.4", (("authorization", f"Bearer {TOKEN}"),))
            group.create_task(work(factory.open(None), request))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
