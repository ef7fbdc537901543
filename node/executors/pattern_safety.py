"""Regular expressions that no text can make run for long.

`re` tries every way in which the parts of a pattern can share a text, and cannot be interrupted, so that a text made
for it stops the whole program. Here each repeat must have an end, but for the last part of a pattern, after which
nothing can fail; and the ways that are left, which are then a number, are bounded. The time for a text is at worst
that number times the text's length, which callers bound.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Final

_MAX_WAYS: Final = 2000
"""The most ways to match at one place of a text."""
_MAX_TIMES: Final = 1000
"""The highest bound of a repeat."""

_PART: Final = re.compile(
    r"""(?P<aside>\(\?\#[^)]*\)|\(\?[a-zA-Z]+\))
      | (?P<back>\\[1-9]|\(\?P=|\(\?\()
      | (?P<open>\((?:\?(?:P<\w+>|<?[=!]|>|[a-zA-Z-]*:))?)
      | (?P<close>\))
      | (?P<branch>\|)
      | (?P<one>\\N\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.)""",
    re.VERBOSE | re.DOTALL,
)
_REPEAT: Final = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<exact>\d+)\}|\{(?P<low>\d*),(?P<high>\d*)\})[?+]?")
_SIGNS: Final = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(slots=True)
class _Group:
    """A group, or the whole pattern, as far as it is read: the ways of the branch under way, and of those before."""

    ways: int = 1
    ways_before: int = 0


def safe_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern that takes bearable time on texts of bounded length. Flags stand in front, as in ``(?i)spam``.

    Raises:
        ValueError: it is no regular expression, or could take too long; the message says what to write instead.
    """
    try:
        with warnings.catch_warnings():
            # What a later Python may take for something else is not to be relied upon.
            warnings.simplefilter("error", FutureWarning)
            pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise ValueError(f"the pattern {text!r} is no regular expression: {error}") from None
    if not text or pattern.flags & re.VERBOSE:
        raise ValueError(f"the pattern {text!r} is empty, or has the flag x, which is not taken")
    _Reader(text).read()
    return pattern


class _Reader:
    """Reads a pattern that is known to be a regular expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._groups = [_Group()]

    def read(self) -> None:
        """Go through it once.

        Raises:
            ValueError: it could take too long.
        """
        at = 0
        while part := _PART.match(self._text, at):
            at = part.end()
            match part.lastgroup:
                case "aside":
                    pass
                case "back":
                    self._refuse("refers back to a group; write out what is meant")
                case "open":
                    self._groups.append(_Group())
                case "branch":
                    self._end_branch()
                case "close":
                    self._end_branch()
                    at = self._add(self._groups.pop().ways_before, at)
                case _:
                    at = self._add(1, at)
        self._end_branch()

    def _add(self, ways: int, end: int) -> int:
        """Take in a part that can match in so many ways and ends there, with its repeat, and tell where that ends."""
        repeat = _REPEAT.match(self._text, end)
        end = end if repeat is None else repeat.end()
        least, most = _bounds(repeat)
        if max(least, most or 0) > _MAX_TIMES:
            self._refuse(f"repeats something more than {_MAX_TIMES} times; lower the bound")
        if most is None:
            is_last = len(self._groups) == 1 and self._text[end : end + 1] in ("", "|")
            if not is_last or ways > 1:
                self._refuse(r"has a repeat without an end; give it one, as in \s{1,20} or .{0,200}")
            return end
        if ways > 1 and most > _MAX_WAYS.bit_length():
            self._refuse_ways()
        self._groups[-1].ways *= ways**most * (most - least + 1)
        self._check()
        return end

    def _end_branch(self) -> None:
        """One branch of a group matches, so that their ways add up."""
        group = self._groups[-1]
        group.ways_before += group.ways
        group.ways = 1
        self._check()

    def _check(self) -> None:
        if max(self._groups[-1].ways, self._groups[-1].ways_before) > _MAX_WAYS:
            self._refuse_ways()

    def _refuse_ways(self) -> None:
        self._refuse("has repeats and alternatives that can match in too many ways; lower the bounds, or part it")

    def _refuse(self, problem: str) -> None:
        raise ValueError(f"the pattern {self._text!r} {problem}")


def _bounds(repeat: re.Match[str] | None) -> tuple[int, int | None]:
    """The least and the most times, None where there is no end."""
    if repeat is None:
        return 1, 1
    if sign := repeat["sign"]:
        return _SIGNS[sign]
    if exact := repeat["exact"]:
        return int(exact), int(exact)
    return int(repeat["low"] or 0), int(repeat["high"]) if repeat["high"] else None
