from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from node.domain.errors import EngineFailed
from node.executors.inflated import inflate

TEXT = b"a line of it\n" * 100_000


class Body(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


def answer(encoding: str | None, *chunks: bytes) -> httpx.Response:
    headers = {} if encoding is None else {"content-encoding": encoding}
    return httpx.Response(200, headers=headers, stream=Body(*chunks))


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (None, TEXT),
        ("identity", TEXT),
        ("", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        (" deflate ", zlib.compress(TEXT)),
        ("gzip", gzip.compress(TEXT) + b"and more"),
    ],
)
async def test_a_body_is_what_it_was(encoding: str | None, packed: bytes) -> None:
    for chunks in ((packed,), [packed[start : start + 1000] for start in range(0, len(packed), 1000)]):
        response = answer(encoding, *chunks)
        inflate(response)
        assert await response.aread() == TEXT
        assert isinstance(response.stream, httpx.AsyncByteStream)


async def test_it_comes_in_small_steps_however_little_it_was() -> None:
    response = answer("gzip", gzip.compress(b"\n" * 50_000_000))
    inflate(response)
    sizes = [len(piece) async for piece in response.aiter_raw()]
    assert max(sizes) <= 64 * 1024
    assert sum(sizes) == 50_000_000


async def test_it_closes_what_it_reads() -> None:
    body = Body(b"")
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=body)
    inflate(response)
    await response.aclose()
    assert body.closed


@pytest.mark.parametrize("raw", [b"no gzip at all", gzip.compress(TEXT)[:10] + b"x" * 100])
async def test_what_is_damaged_is_told(raw: bytes) -> None:
    response = answer("gzip", raw)
    inflate(response)
    with pytest.raises(EngineFailed, match="damaged"):
        await response.aread()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "x" * 5000])
def test_what_was_not_asked_for_is_told_without_repeating_it(encoding: str) -> None:
    with pytest.raises(EngineFailed, match="not asked for"):
        inflate(answer(encoding, b""))
