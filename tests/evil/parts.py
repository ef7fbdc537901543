"""What evil replies are made of."""

from __future__ import annotations

import gzip
import zlib
from functools import cache

KIB = 1024
MIB = 1024 * 1024


def head(*lines: str, status: str = "200 OK") -> bytes:
    """A reply's head with its end."""
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode("latin-1")


def reply(body: bytes, *lines: str, status: str = "200 OK", length: int | str | None = None) -> bytes:
    """A reply with a length, the right one unless another is given."""
    return head(f"content-length: {len(body) if length is None else length}", *lines, status=status) + body


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Pieces as chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def chunked(body: bytes, *lines: str, end: bytes = b"0\r\n\r\n") -> bytes:
    """A reply in chunks."""
    return head("transfer-encoding: chunked", *lines) + chunks(body, end=end)


@cache
def deflated_zeros(size: int, window_bits: int) -> bytes:
    """A bomb of this many zeros, a thousandth of it in size."""
    packer = zlib.compressobj(9, wbits=window_bits)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


@cache
def gzip_bomb() -> bytes:
    """200 MiB in 200 KiB."""
    return deflated_zeros(200 * MIB, 16 + zlib.MAX_WBITS)


@cache
def deflate_bomb() -> bytes:
    """The same, wrapped as zlib does."""
    return deflated_zeros(200 * MIB, zlib.MAX_WBITS)


@cache
def nested_gzip_bomb() -> bytes:
    """200 MiB in two layers of gzip."""
    return gzip.compress(gzip_bomb())


@cache
def zstd_bomb() -> bytes:
    """2 GiB in 64 KiB: a frame (RFC 8878, 3.1.1) of blocks that repeat one byte 128 KiB times."""
    repeat = (0b01 << 1 | 128 * KIB << 3).to_bytes(3, "little") + b"\0"
    end = b"\x01\0\0"
    return b"\x28\xb5\x2f\xfd" + b"\x00\x58" + repeat * (2 * 1024 * MIB // (128 * KIB)) + end


BROTLI_BOMB = b"\xce\xff\xff\x1f\xf8\x25\x00\xc2\xa2\x74\x00" * 64
"""Its form does not matter: who was not asked for brotli must not decode it."""


def nested(depth: int) -> bytes:
    """Lists in lists."""
    return b"[" * depth + b"]" * depth


@cache
def many_values(size: int, unit: bytes = b"[[]]") -> bytes:
    """A JSON list of this many bytes that is mostly structure: what it is parsed to takes many times its size."""
    return b"[" + b",".join([unit] * ((size - 2) // (len(unit) + 1))) + b"]"
