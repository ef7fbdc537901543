"""Failures counted by what went wrong, in few classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

MAX_CLASSES: Final = 64
"""Classes that are told apart; what comes after them counts as `OTHER`."""

OTHER: Final = "other"
_MAX_CHARS: Final = 80
_MEMO: Final = 1024
_STATUS: Final = re.compile(r"\bHTTP (\d{3})\b")
_NAMES: Final = re.compile(r"[^\s,;()\"']*\d[^\s,;()\"']*|\"[^\"]*\"|'[^']*'")


def reason_class(reason: str) -> str:
    """A reason without what differs from case to case: an HTTP status alone, or the text without names and numbers.

    The address that it may begin with is left out, and so is how long was waited.
    """
    if status := _STATUS.search(reason):
        return f"{status.group()} with an answer that is none" if status[1].startswith("2") else status.group()
    text = _NAMES.sub("#", reason).removeprefix("# ").replace(" in # s", " in time")
    return text[:_MAX_CHARS].strip() or OTHER


class Reasons:
    """Counts by ``what: class of the reason``, in bounded memory."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: Counter[str] = Counter(counts or {})
        self._memo: dict[str, str] = {}

    def count(self, what: str, reason: str) -> None:
        """Count a failure; ``what`` is one of few words, ``reason`` a sentence."""
        text = self._memo.get(reason)
        if text is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            text = self._memo[reason] = reason_class(reason)
        self._add(f"{what}: {text}", what, 1)

    def merge(self, other: Reasons) -> None:
        """Add what another has counted."""
        for name, count in sorted(other._counts.items(), key=lambda item: (-item[1], item[0])):
            self._add(name, name.partition(":")[0], count)

    def most_common(self) -> list[tuple[str, int]]:
        """All classes with their counts, the most frequent first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))

    def _add(self, name: str, what: str, count: int) -> None:
        known = name in self._counts or len(self._counts) < MAX_CLASSES
        self._counts[name if known else f"{what}: {OTHER}"] += count
