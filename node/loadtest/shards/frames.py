"""Messages on a stream of bytes: each with its length before it."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from node.loadtest.shards.messages import MOST_BYTES, Order, Report, encoded, order_in

_LENGTH: Final = struct.Struct(">Q")

BUFFER_BYTES: Final = 1 << 20
"""For `asyncio.StreamReader`: what is read ahead of whoever takes the messages."""


def frame(data: bytes) -> bytes:
    """A message as it goes over the stream."""
    return _LENGTH.pack(len(data)) + data


async def read_frame(stream: asyncio.StreamReader, most_bytes: int = MOST_BYTES) -> bytes | None:
    """The next message; None at the end of the stream, be it in the middle of one.

    Raises:
        ValueError: it is longer than ``most_bytes``.
    """
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        if length > most_bytes:
            raise ValueError(f"a message of {length} bytes is too long")
        return await stream.readexactly(length)
    except asyncio.IncompleteReadError:
        return None


class StreamLink:
    """See `node.loadtest.shards.pool.ShardLink`: on two streams, as a process has them to its parent."""

    def __init__(self, orders: asyncio.StreamReader, reports: asyncio.StreamWriter) -> None:
        self._orders = orders
        self._reports = reports

    def tell(self, report: Report) -> None:
        """See `ShardLink.tell`."""
        self._reports.write(frame(encoded(report)))

    async def next_order(self) -> Order | None:
        """See `ShardLink.next_order`. An order that cannot be read ends the stream."""
        try:
            data = await read_frame(self._orders)
            return None if data is None else order_in(data)
        except ValueError:
            return None
