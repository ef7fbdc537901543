"""Whether somebody repeats what they were told: prompts and answers come back in the errors of engines and gateways."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 16
"""So many characters in a row that stand in the original too are a quotation of it."""

_SHORTEST: Final = 4


def quotes(said: str, original: str) -> bool:
    """Whether ``said`` has a piece of ``original`` in it, white space aside, or the whole where that is shorter.

    Originals of less than 4 characters are not looked for. Takes time by the product of both lengths: cut ``said``
    first, at `WINDOW` characters beyond what will be shown, so that no piece is left over at the cut.
    """
    said, original = " ".join(said.split()), " ".join(original.split())
    if len(original) < _SHORTEST:
        return False
    if len(original) <= WINDOW:
        return original in said
    return any(said[start : start + WINDOW] in original for start in range(len(said) - WINDOW + 1))
