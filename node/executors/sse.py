"""Server-sent events, as far as engines use them: the data of each event, in bounded memory.

The format is the WHATWG HTML standard's ("9.2 Server-sent events"): a line ends with CR, LF or both; ``data`` fields of
one event are joined by line feeds; an empty line ends it; comments and other fields are skipped.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Final

from node.domain.errors import EngineFailed

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


async def event_data(body: AsyncIterable[bytes], max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The data of each event as it comes. One that the body's end cuts short is passed on too: its reader judges it.

    Raises what ``body`` does, and:

        EngineFailed: the body has more than ``max_bytes``.
    """
    data: list[bytes] = []
    async with aclosing(_lines(body, max_bytes)) as lines:
        async for line in lines:
            if not line:
                if data:
                    yield b"\n".join(data)
                data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
    if data:
        yield b"\n".join(data)


async def _lines(body: AsyncIterable[bytes], max_bytes: int) -> AsyncGenerator[bytes, None]:
    size = 0
    rest: list[bytes] = []
    was_cr = False
    async for chunk in body:
        size += len(chunk)
        if size > max_bytes:
            raise EngineFailed(f"the engine's answer has more than {max_bytes} bytes")
        # A carriage return at the end of a chunk has ended a line, of whose end this may be the other half.
        first, *lines = _LINE_END.split(chunk.removeprefix(b"\n") if was_cr else chunk)
        was_cr = chunk.endswith(b"\r") or (was_cr and not chunk)
        # Only what is new is looked through: a line may come byte by byte.
        rest.append(first)
        if lines:
            yield b"".join(rest)
            for line in lines[:-1]:
                yield line
            rest = [lines[-1]]
    yield b"".join(rest)
