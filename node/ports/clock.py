"""Time, chance and names: injected, so that a fleet can run in virtual time from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Two times in seconds. Waits go through the event loop, whose time is `monotonic`."""

    def wall(self) -> float:
        """Unix time: for people, tokens and files."""
        ...

    def monotonic(self) -> float:
        """The running event loop's time, read anew at each call: for durations and deadlines."""
        ...


class Random(Protocol):
    """One source of chance for the whole program; `random.Random` satisfies it."""

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...

    def uniform(self, a: float, b: float, /) -> float:
        """A number from a to b."""
        ...

    def expovariate(self, lambd: float, /) -> float:
        """An exponentially distributed number with mean ``1 / lambd``."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """A whole number from start up to, not including, stop."""
        ...

    def choice(self, seq: Sequence[T], /) -> T:
        """One of a non-empty sequence."""
        ...


class Ids(Protocol):
    """Makes names that are not taken."""

    def new(self) -> str:
        """A new unique name, in the form of a UUID."""
        ...
