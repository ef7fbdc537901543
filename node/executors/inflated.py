"""The body of an engine's answer as it was before it was compressed, a small step at a time."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final, cast

import httpx

from node.domain.errors import EngineFailed

_STEP_BYTES: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
"""Has zlib tell by the first bytes which of the two it is."""


def inflate(response: httpx.Response) -> None:
    """Have this answer's body read without its compression, if it has one; to be called before any of it is read.

    Engines are asked not to compress, but what stands before them may do so all the same. httpx would inflate all that
    one read brings at once, a thousand times its size where it is meant to harm.

    Raises:
        EngineFailed: it is compressed otherwise than by gzip or deflate. So does reading it, where it is damaged.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    match encoding:
        case "identity" | "":
            return
        case "gzip" | "x-gzip" | "deflate":
            response.stream = _Inflated(cast("httpx.AsyncByteStream", response.stream))
            del response.headers["content-encoding"]
        case _:
            raise EngineFailed("the engine's answer is compressed in a way that was not asked for")


class _Inflated(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            async for chunk in self._body:
                rest = chunk
                while rest and not inflater.eof:
                    yield inflater.decompress(rest, _STEP_BYTES)
                    rest = inflater.unconsumed_tail
            yield inflater.flush()
        except zlib.error as error:
            raise EngineFailed("the engine's answer is compressed, and damaged") from error

    async def aclose(self) -> None:
        await self._body.aclose()
