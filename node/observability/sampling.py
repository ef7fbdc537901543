"""Holding back what repeats too fast, and saying how much was held back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Sampling:
    """At most ``burst`` of a kind in ``window_s`` seconds."""

    burst: int
    window_s: float


class _Window:
    __slots__ = ("admitted", "ends_at", "held")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.admitted = 0
        self.held = 0


class Sampler(Generic[K]):
    """Admits the first of each kind in every window and counts the others. Kinds must be few; ``now`` is in seconds."""

    def __init__(self) -> None:
        self._windows: dict[K, _Window] = {}

    def admit(self, kind: K, sampling: Sampling, now: float) -> int | None:
        """None when this one is held back; else how many were, in windows that nobody was told of yet."""
        window = self._windows.get(kind)
        if window is None or now >= window.ends_at:
            held = 0 if window is None else window.held
            window = self._windows[kind] = _Window(now + sampling.window_s)
        else:
            held = 0
        if window.admitted >= sampling.burst:
            window.held += 1
            return None
        window.admitted += 1
        return held

    def held_back(self, now: float | None = None) -> Iterator[tuple[K, int]]:
        """Each kind with how many were held back in a window that ended by ``now`` (None: in any); told once."""
        for kind, window in self._windows.items():
            if window.held and (now is None or now >= window.ends_at):
                held, window.held = window.held, 0
                yield kind, held
