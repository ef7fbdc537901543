"""The last events, as sentences for people."""

from __future__ import annotations

from collections import deque
from typing import Final

from node.monitors.snapshot import Happening

QUIET_S: Final = 2.0
"""Events of one kind that come within these seconds of its last sentence are only counted."""


class _Entry:
    __slots__ = ("at", "is_trouble", "more", "text", "until")

    def __init__(self, at: float, until: float, text: str, *, is_trouble: bool) -> None:
        self.at = at
        self.until = until
        self.text = text
        self.is_trouble = is_trouble
        self.more = 0


class Feed:
    """Keeps the last ``length`` sentences, one of a kind every `QUIET_S` seconds with a count of those after it."""

    def __init__(self, length: int = 50) -> None:
        self._entries: deque[_Entry] = deque(maxlen=length)
        self._latest: dict[str, _Entry] = {}

    def count(self, kind: str, now: float) -> bool:
        """Count one more of this kind, if that is all that `add` would do: saves those the sentence who tell often."""
        latest = self._latest.get(kind)
        if latest is None or now >= latest.until:
            return False
        latest.more += 1
        return True

    def add(self, kind: str, text: str, *, now: float, wall: float, is_trouble: bool = False) -> None:
        """Add a sentence, or count it; ``kind`` is one of few, ``now`` the loop's time, ``wall`` Unix time."""
        if self.count(kind, now):
            return
        entry = _Entry(wall, now + QUIET_S, text, is_trouble=is_trouble)
        self._latest[kind] = entry
        self._entries.append(entry)

    def happenings(self) -> tuple[Happening, ...]:
        """What happened, oldest first."""
        return tuple(Happening(entry.at, entry.text, entry.is_trouble, entry.more) for entry in self._entries)
