"""Text that must not be seen."""

from __future__ import annotations

from typing import Final

MASK: Final = "***"
"""What stands for a secret wherever people read."""


class Secret:
    """A string whose ``str`` and ``repr`` are a mask; `reveal` is the one way to its text.

    Equal to another secret of the same text, hashable, and false when empty. Pickling or copying it raises
    `TypeError`.
    """

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the wire and the outbox, never for people."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a secret is not pickled")


def shortened(text: str, chars: int) -> str:
    """The beginning of a text, ``chars`` characters at most, cut at a space.

    A text that is cut in the middle of a word may end in part of a secret, which nobody could find any more.
    """
    if len(text) <= chars:
        return text
    head, space, _ = text[: chars - 1].rpartition(" ")
    return f"{head}{space}…"
