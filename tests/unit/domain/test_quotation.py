"""A piece of an original in other text is known for a quotation."""

from __future__ import annotations

import pytest

from node.domain.quotation import WINDOW, quotes

ORIGINAL = "The gnu did it,\n with a spanner, in the library."


@pytest.mark.parametrize("said", ["no: did it, with a spanner!", "THE gnu did it,\twith a", f"<{ORIGINAL}>"])
def test_a_piece_is_a_quotation(said: str) -> None:
    assert quotes(said, ORIGINAL)


@pytest.mark.parametrize("said", ["", "no", "the library", "did it with a spanner", ORIGINAL[: WINDOW - 2]])
def test_a_few_words_are_none(said: str) -> None:
    assert not quotes(said, ORIGINAL)


def test_a_short_original_is_looked_for_whole() -> None:
    assert quotes("cannot Go  on", "Go on")
    assert not quotes("cannot go on", "Go on")
    assert not quotes("a bad no", "no")


def test_a_piece_is_found_wherever_it_stands() -> None:
    words = "".join(ORIGINAL.split())
    pieces = [words[start : start + WINDOW] for start in range(len(words) - WINDOW + 1)]
    assert all(quotes(f"x{piece}y", words) for piece in pieces)
    assert not any(quotes(f"x{piece[:-1]}", words) for piece in pieces)
