from __future__ import annotations

import pytest

from node.domain.secret import Secret
from node.executors.engine_words import count_in, one_line, presentable


def test_a_line_is_short_and_one() -> None:
    assert one_line(" a\n b\t") == "a b"
    assert len(one_line("x " * 1000)) == 199


def test_what_is_cut_off_ends_with_a_whole_word() -> None:
    """Half a secret would be found by nobody any more."""
    assert one_line(f"{'.' * 190} sk-1234567890") == f"{'.' * 190} …"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("bad input: {'content': 'Why is the deep sky blue'}", "Tell me. Why is the deep sky blue over Lisbon?"),
        ("bad input: 'Go on'", "Go on"),
        ("Why is the\n deep sky blue?", "Why is the deep   sky blue?"),
        *((f"{'.' * dots} Why is the deep sky blue?", "Why is the deep sky blue?") for dots in range(150, 199)),
    ],
)
def test_what_was_asked_is_not_shown(said: str, asked: str) -> None:
    assert presentable(said, ["another", asked]) == "an error that quotes the request and is not shown"


def test_the_rest_is_shown() -> None:
    assert presentable("CUDA out of memory", ["Why?", "", "a", "How much memory has it?"]) == "CUDA out of memory"
    assert presentable("", ["Why?"]) == "without a reason"


def test_nothing_is_shown_of_what_may_quote_more_than_can_be_looked_through() -> None:
    asked = ["It is long. " * 10_000] * 2
    assert presentable("CUDA out of memory", asked) == (
        "an error about a request that is too long for what it says to be shown"
    )
    assert presentable("CUDA out of memory", iter(asked[:1])) == "CUDA out of memory"


def test_a_secret_is_masked() -> None:
    assert presentable("no such key: sk-1", [], Secret("sk-1")) == "no such key: ***"


@pytest.mark.parametrize(
    ("told", "count"),
    [(0, 0), (7, 7), (2**53, 2**53), (-1, None), (10**30, None), (True, None), (1.5, None), ("7", None), (None, None)],
)
def test_a_count_is_a_whole_number_that_can_be(told: object, count: int | None) -> None:
    assert count_in(told) == count
