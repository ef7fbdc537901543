"""Reading a reply's body without letting the other side choose how much memory that takes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from node.domain.errors import BrokenReply, ReplyTooLarge

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_BLOCK_BYTES: Final = 64 * 1024


class BoundedBody:
    """Collects a body of at most ``max_bytes``, counted both as it travels and decompressed.

    What a compressed piece grows into is bounded before it is made, so that a body that would decompress to
    gigabytes costs no more than the limit.
    """

    __slots__ = ("_decoder", "_encoding", "_max_bytes", "_received", "_whole")

    def __init__(self, headers: Mapping[str, str], max_bytes: int) -> None:
        """Look at the reply's headers (names in lower case).

        Raises:
            ReplyTooLarge: the announced length is beyond the limit.
        """
        self._max_bytes = max_bytes
        self._received = 0
        self._whole = io.BytesIO()
        self._decoder: _Inflating | None = None
        self._encoding = headers.get("content-encoding", "").strip().lower()
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > max_bytes:
            raise self._too_large()

    def feed(self, piece: bytes) -> None:
        """Take the next piece as it came.

        Raises:
            ReplyTooLarge: the limit is passed.
            BrokenReply: it is compressed in a way that was not asked for, or wrongly.
        """
        if not piece:
            return
        self._received += len(piece)
        if self._received > self._max_bytes:
            raise self._too_large()
        if not self._encoding or self._encoding == "identity":
            self._whole.write(piece)
            return
        if self._decoder is None:
            self._decoder = _Inflating(self._encoding)
        for plain in self._decoder.feed(piece):
            if self._whole.tell() + len(plain) > self._max_bytes:
                raise self._too_large()
            self._whole.write(plain)

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            BrokenReply: the compressed data ends too early.
        """
        if self._decoder is not None and not self._decoder.ended:
            raise BrokenReply("the compressed body is cut off")
        return self._whole.getvalue()

    def release(self) -> None:
        """Let go of all that was read: an error's traceback may keep this object for long."""
        self._whole = io.BytesIO()

    def _too_large(self) -> ReplyTooLarge:
        return ReplyTooLarge(f"the reply's body is larger than {self._max_bytes} bytes")


class _Inflating:
    """Gzip, and deflate with or without its zlib wrapping, as servers really send it."""

    __slots__ = ("_encoding", "_inflate")

    def __init__(self, encoding: str) -> None:
        if encoding not in {"gzip", "x-gzip", "deflate"}:
            # Which is not told: a server may say anything there.
            raise BrokenReply("the reply is encoded in a way that was not asked for")
        self._encoding = encoding
        self._inflate: zlib._Decompress | None = None

    @property
    def ended(self) -> bool:
        return self._inflate is not None and self._inflate.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What the piece, which is not empty, grows into, block by block."""
        if self._inflate is None:
            self._inflate = zlib.decompressobj(self._window_bits(piece[0]))
        inflate = self._inflate
        is_more = True
        while is_more:
            try:
                plain = inflate.decompress(piece, _BLOCK_BYTES)
            except zlib.error as error:
                raise BrokenReply("the compressed body is damaged") from error
            piece = inflate.unconsumed_tail
            # What follows the end stays in the tail, and would be offered for ever.
            is_more = not inflate.eof and (bool(piece) or len(plain) == _BLOCK_BYTES)
            yield plain
        if inflate.unused_data:
            raise BrokenReply("bytes follow the end of the compressed body")

    def _window_bits(self, first: int) -> int:
        if self._encoding != "deflate":
            return _GZIP
        # RFC 1950 has a zlib stream begin with its method, 8, in the low half of the first byte.
        return _ZLIB if first & 0x0F == 8 else _RAW
