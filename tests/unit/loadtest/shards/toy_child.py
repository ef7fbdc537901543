"""The toy shard as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from node.loadtest.shards.frames import BUFFER_BYTES, StreamLink, read_frame
from tests.unit.loadtest.shards.toy import program


async def _run() -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=BUFFER_BYTES)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb", 0))
    writer = asyncio.StreamWriter(writing, flow, None, loop)
    writing.set_write_buffer_limits(high=0)
    task = await read_frame(orders)
    if task is not None:
        if b'"deaf"' in task:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await program(task, StreamLink(orders, writer))
        await writer.drain()
    writer.close()
    reading.close()


if __name__ == "__main__":
    asyncio.run(_run())
