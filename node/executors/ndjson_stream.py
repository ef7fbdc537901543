"""A streamed body made fit for a reader of lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx

from node.domain.errors import EngineFailed

_ESCAPED: Final = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
"""Characters (NEL, LS, PS) that JSON allows inside a string, and at which httpx ends a line nevertheless."""


class NdjsonStream(httpx.AsyncByteStream):
    """Passes on whole lines of newline-delimited JSON: without blank ones, and such that only a line feed ends a line.

    The body must not be compressed. Iterating it raises what the connection does, and:

        EngineFailed: the body, or with ``per_line`` a line of it, has more than ``max_bytes``.
    """

    def __init__(self, body: httpx.AsyncByteStream, max_bytes: int, *, per_line: bool = False) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self._per_line = per_line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        rest: list[bytes] = []
        async for chunk in self._body:
            size += len(chunk)
            if size > self._max_bytes:
                raise EngineFailed(f"the engine's answer has more than {self._max_bytes} bytes")
            first, *lines = chunk.split(b"\n")
            rest.append(first)
            if lines:
                lines, rest = [b"".join(rest), *lines[:-1]], [lines[-1]]
                if self._per_line:
                    size = len(rest[0])
                yield b"".join(_escaped(line) + b"\n" for line in lines if line.strip())
        last = b"".join(rest)
        if last.strip():
            yield _escaped(last)

    async def aclose(self) -> None:
        """Close the body that it reads."""
        await self._body.aclose()


def _escaped(line: bytes) -> bytes:
    for raw, escaped in _ESCAPED:
        line = line.replace(raw, escaped)
    return line
