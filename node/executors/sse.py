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

_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?!$)")
"""A carriage return at the very end may be half of a line's end."""


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
    rest = b""
    async for chunk in body:
        size += len(chunk)
        if size > max_bytes:
            raise EngineFailed(f"the engine's answer has more than {max_bytes} bytes")
        *lines, rest = _LINE_END.split(rest + chunk)
        for line in lines:
            yield line
    for line in _LINE_END.split(rest.removesuffix(b"\r")):
        yield line
