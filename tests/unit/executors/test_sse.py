from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from node.domain.errors import EngineFailed
from node.executors.sse import event_data


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(*chunks: bytes, max_bytes: int = 1000) -> list[bytes]:
    return [data async for data in event_data(body(*chunks), max_bytes)]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: one\n\ndata:two\n\n", [b"one", b"two"]),
        (b"data:  one\n\n", [b" one"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [b"a", b"b", b"c"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b": ping - 2026\n\nevent: x\nid: 7\nretry: 3\ndata: a\n\n", [b"a"]),
        (b"event: x\n\n", []),
        (b"data: whole", [b"whole"]),
        (b"data: whole\r", [b"whole"]),
        (b"data\n\n", []),
        ("data: \u2028 \x85\n\n".encode(), ["\u2028 \x85".encode()]),
    ],
)
async def test_events_are_what_the_standard_says(raw: bytes, events: list[bytes]) -> None:
    assert await read(raw) == events
    assert await read(*(bytes([byte]) for byte in raw)) == events


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_borders_between_chunks_change_nothing(line_end: bytes) -> None:
    chance = random.Random(5)
    raw = b"".join(b": c" + line_end + b"data: %d" % n + line_end * 2 for n in range(30))
    for _ in range(50):
        cuts = sorted(chance.sample(range(len(raw)), 20))
        chunks = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        assert await read(*chunks) == [b"%d" % n for n in range(30)]


async def test_a_body_has_a_bound() -> None:
    with pytest.raises(EngineFailed, match="more than 10 bytes"):
        await read(b"data: 1\n\n", b"data: 2\n\n", max_bytes=10)
