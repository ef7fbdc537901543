"""Bodies, whole and in pieces, within a bound."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import BrokenReply, ReplyTooLarge
from node.gateway.bodies import BoundedBody


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@given(
    data=st.binary(max_size=2000),
    encoding=st.sampled_from(list(PACKERS)),
    cuts=st.lists(st.integers(0, 3000), max_size=5),
)
def test_a_body_comes_out_as_it_went_in_however_it_is_cut(data: bytes, encoding: str, cuts: list[int]) -> None:
    packed = PACKERS[encoding](data)
    body = BoundedBody({"content-encoding": encoding}, max(len(data), len(packed)))
    edges = [0, *sorted(cut for cut in cuts if cut < len(packed)), len(packed)]
    for begin, end in itertools.pairwise(edges):
        body.feed(packed[begin:end])
    assert body.finish() == data


@given(st.binary(min_size=1, max_size=500))
def test_deflate_may_lack_its_wrapping(data: bytes) -> None:
    body = BoundedBody({"content-encoding": "deflate"}, 10_000)
    for byte in raw(data):
        body.feed(bytes([byte]))
    assert body.finish() == data


@given(encoding=st.sampled_from(["gzip", "deflate", "br", "gzip, gzip", "zstd"]), data=st.binary(max_size=200))
def test_nonsense_is_broken_or_empty(encoding: str, data: bytes) -> None:
    body = BoundedBody({"content-encoding": encoding}, 1000)
    try:
        body.feed(data)
        assert body.finish() is not None
    except BrokenReply:
        assert data


def test_the_bound_counts_before_and_after_decompression() -> None:
    packed = gzip.compress(bytes(1001))
    for limit, good in ((1001, True), (1000, False)):
        body = BoundedBody({"content-encoding": "gzip"}, limit)
        if good:
            body.feed(packed)
            assert len(body.finish()) == 1001
        else:
            with pytest.raises(ReplyTooLarge, match="1000 bytes"):
                body.feed(packed)
    incompressible = BoundedBody({"content-encoding": "gzip"}, 10)
    with pytest.raises(ReplyTooLarge):
        incompressible.feed(gzip.compress(b"x"))


@pytest.mark.parametrize(
    ("length", "good"), [("10", True), ("11", False), ("9" * 400, False), ("-1", True), ("", True)]
)
def test_an_announced_length_is_believed_when_it_is_too_much(length: str, *, good: bool) -> None:
    if good:
        BoundedBody({"content-length": length}, 10)
    else:
        with pytest.raises(ReplyTooLarge):
            BoundedBody({"content-length": length}, 10)


def test_a_bomb_costs_no_more_memory_than_the_bound() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(50)) + packer.flush()
    body = BoundedBody({"content-encoding": "gzip"}, 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyTooLarge):
            body.feed(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_200_000


def test_a_bomb_takes_no_more_than_is_kept_of_it() -> None:
    """Decompressed in one piece it would be there several times over."""
    bomb = gzip.compress(bytes(64_000_000))
    body = BoundedBody({"content-encoding": "gzip"}, 8_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyTooLarge):
            body.feed(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000 * 9 // 8 + 1_000_000


def test_a_piece_may_grow_into_many_blocks() -> None:
    data = bytes(3 * 64 * 1024) + b"end"
    body = BoundedBody({"content-encoding": "deflate"}, len(data))
    body.feed(zlib.compress(data))
    assert body.finish() == data


@pytest.mark.timeout(10)
@pytest.mark.parametrize("size", [10, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 300_000])
@pytest.mark.parametrize("follows", [b"\0", b"more", gzip.compress(b"again", mtime=0)], ids=["zero", "text", "another"])
def test_bytes_after_the_end_break_a_body_of_any_size(size: int, follows: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        body = BoundedBody({"content-encoding": encoding}, 1_000_000)
        with pytest.raises(BrokenReply, match="bytes follow"):
            body.feed(PACKERS[encoding](b"a" * size) + follows)


def test_what_is_released_is_kept_by_nobody() -> None:
    body = BoundedBody({}, 100)
    body.feed(b"part")
    body.release()
    assert body.finish() == b""
