"""Chance without a state: a number for each name, so that parts of a run draw the same as the whole."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_GOLDEN_SHARE: Final = _GOLDEN / 2**64


class Chance:
    """Draws that depend on a seed, the purpose and a number alone, in whatever order they are asked for.

    The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), jumped to
    the position asked for.
    """

    __slots__ = ("_origin",)

    def __init__(self, seed: int, purpose: str) -> None:
        digest = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
        self._origin = int.from_bytes(digest, "big")

    def draw(self, number: int) -> float:
        """A number from 0 up to, not including, 1; independent of those of other numbers."""
        word = (self._origin + (number + 1) * _GOLDEN) & _MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((word ^ (word >> 31)) >> 11) * 2.0**-53

    def spread(self, number: int) -> float:
        """A number from 0 up to, not including, 1; those of successive numbers lie evenly, as a golden-ratio sequence does.

        So shares hold well even among few.
        """
        return (self._origin * 2.0**-64 + number * _GOLDEN_SHARE) % 1.0
