"""Rows of jobs that the ledger has forgotten, for an audit of a long run: compressed, some tens of bytes each."""

from __future__ import annotations

import zlib
from typing import Final

BLOCK: Final = 256
"""Rows that are compressed together: those whose numbers, divided by it, are equal."""

_LEVEL: Final = 3


class Archive:
    """Up to ``keep`` rows by number; the blocks of the lowest numbers go first when there are more.

    A block is compressed when all its rows are there, which takes some tenths of a millisecond.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._open: dict[int, dict[int, bytes]] = {}
        self._packed: dict[int, bytes] = {}
        self._rows = 0
        self.dropped = 0
        """Rows that there was no room for."""

    def __len__(self) -> int:
        return self._rows

    @property
    def size_bytes(self) -> int:
        """What the packed blocks take."""
        return sum(map(len, self._packed.values()))

    def put(self, seq: int, row: bytes) -> None:
        """Keep a row, which has no line break; each number comes once."""
        if self._keep < 1:
            self.dropped += 1
            return
        number = seq // BLOCK
        block = self._open.setdefault(number, {})
        block[seq] = row
        self._rows += 1
        if len(block) == BLOCK:
            lines = b"\n".join(block[place] for place in sorted(block))
            self._packed[number] = zlib.compress(lines, _LEVEL)
            del self._open[number]
        while self._rows > self._keep and len(self._packed) + len(self._open) > 1:
            self._drop_lowest()

    def block(self, number: int) -> dict[int, bytes]:
        """The rows of one block by number; empty when it has none."""
        packed = self._packed.get(number)
        if packed is None:
            return self._open.get(number, {})
        return dict(zip(range(number * BLOCK, (number + 1) * BLOCK), zlib.decompress(packed).split(b"\n"), strict=True))

    def _drop_lowest(self) -> None:
        number = min(min(self._packed, default=1 << 62), min(self._open, default=1 << 62))
        self._packed.pop(number, None)
        gone = len(self._open.pop(number, range(BLOCK)))
        self._rows -= gone
        self.dropped += gone
