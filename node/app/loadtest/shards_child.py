"""``python -m node.app.loadtest.shards_child``: one shard of a load test as a process.

Its task and orders come on standard input, what it says goes to standard output: see `node.loadtest.shards.frames`. It
belongs to whoever writes there and ends with it. Signals are its owner's business: of those it heeds none.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from node.app.event_loop import new_event_loop
from node.app.loadtest.shards_run import run_task
from node.loadtest.shards.frames import BUFFER_BYTES, StreamLink, read_frame


def main() -> int:
    """Run a shard; 0, however it went: that is said."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    reports = os.dup(1)
    # Whatever prints must not get between the frames.
    os.dup2(2, 1)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(reports))
    return 0


async def _run(reports: int) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=BUFFER_BYTES)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(reports, "wb", 0))
    writer = asyncio.StreamWriter(writing, flow, None, loop)
    # So that to drain is to have handed over everything.
    writing.set_write_buffer_limits(high=0)
    try:
        task = await read_frame(orders)
        if task is not None:
            await run_task(task, StreamLink(orders, writer))
            await writer.drain()
    finally:
        writer.close()
        reading.close()
        await asyncio.sleep(0)


if __name__ == "__main__":
    sys.exit(main())
