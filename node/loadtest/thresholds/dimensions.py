"""What kind of thing a figure is, so that a time is not compared with a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Dimension:
    """Powers of seconds and of things counted. ``bare`` is a number without a unit, which counts and shares take."""

    seconds: int = 0
    things: int = 0
    bare: bool = False

    def __mul__(self, other: Dimension) -> Dimension:
        return Dimension(self.seconds + other.seconds, self.things + other.things, self.bare and other.bare)

    def __truediv__(self, other: Dimension) -> Dimension:
        return Dimension(self.seconds - other.seconds, self.things - other.things, self.bare and other.bare)

    def common(self, other: Dimension) -> Dimension | None:
        """That of a sum of both, None where they cannot be added or compared."""
        if self.bare and (other.bare or other in _TAKE_BARE):
            return other
        if other.bare and self in _TAKE_BARE:
            return self
        return self if self == other else None

    def __str__(self) -> str:
        return _WORDS.get(self, "a number of mixed units")


BARE: Final = Dimension(bare=True)
SHARE: Final = Dimension()
TIME: Final = Dimension(seconds=1)
COUNT: Final = Dimension(things=1)
RATE: Final = Dimension(seconds=-1, things=1)

_TAKE_BARE: Final = frozenset({SHARE, COUNT})
_WORDS: Final = {
    BARE: "a number without a unit",
    SHARE: "a share",
    TIME: "a time",
    COUNT: "a count",
    RATE: "a rate",
}
