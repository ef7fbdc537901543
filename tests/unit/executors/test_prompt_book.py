from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.executors.prompt_book import PromptBook, StoredPrompt, matching_key


def book(*prompts: str) -> PromptBook:
    return PromptBook.of(StoredPrompt(text, {"m": (f"answer to {text}",)}) for text in prompts)


@pytest.mark.parametrize(
    "asked",
    [
        "What does 'TCP' stand for?",
        "what DOES tcp stand for",
        "What does TCP stand for.",
        "  What\tdoes \n\n TCP\u00a0stand   for ? ",
        '"What does TCP stand for?"',
        "What does “TCP” stand for?",
        "What does «TCP» stand for",
        "\u2018What\u2019 „does‟ \u2039TCP\u203a stand for?”",
    ],
)
def test_what_does_not_count_is_ignored(asked: str) -> None:
    assert book("What does TCP stand for?").find(asked) is not None


@pytest.mark.parametrize(
    "asked",
    [
        "What does TCP stand for??",
        "What does TCP stand for!",
        "What does T C P stand for?",
        "What does TCP stand for? Be brief.",
        "What does UDP stand for?",
        "",
        "?",
    ],
)
def test_what_counts_is_not(asked: str) -> None:
    assert book("What does TCP stand for?").find(asked) is None


def test_only_one_trailing_mark_is_ignored() -> None:
    assert book("Really?").find("Really??") is None
    assert book("Really??").find("Really?.") is not None
    assert book("Really?").find("Really ?") is not None


def test_letters_are_compared_as_unicode_compares_them() -> None:
    stored = book("Where is the STRASSE café?")
    assert stored.find("where is the straße cafe\u0301") is not None


def test_the_same_prompt_twice_is_one_with_all_answers() -> None:
    first = StoredPrompt("Why is the sky blue?", {"a": ("one",), "b": ("two",)})
    second = StoredPrompt("why is the sky  blue", {"a": ("three",), "c": ("four",)})
    merged = PromptBook.of([first, second])
    assert merged.prompts == (
        StoredPrompt("Why is the sky blue?", {"a": ("one", "three"), "b": ("two",), "c": ("four",)}),
    )
    assert merged.models == ("a", "b", "c")


def test_an_empty_book_finds_nothing() -> None:
    empty = PromptBook.of([])
    assert (empty.prompts, empty.models, empty.find("anything"), empty.find("x" * 10_000)) == ((), (), None, None)


def test_a_prompt_of_megabytes_is_dismissed_by_its_beginning() -> None:
    stored = book("Why is the sky blue?")
    huge = "“why” is the sky blue " * 250_000
    took = []
    for _ in range(5):
        started = time.perf_counter()
        assert stored.find(huge) is None
        took.append(time.perf_counter() - started)
    assert min(took) < 0.02, "the whole of it takes twenty times as long"
    padded = "  ''  " * 10_000 + "Why is the sky" + " " * 10_000 + "blue?"
    assert stored.find(padded) is not None, "length alone does not count"


def test_neither_prompts_nor_answers_are_in_the_repr() -> None:
    stored = book("Why is the sky blue?")
    assert "sky" not in repr(stored) + repr(stored.prompts)


@given(st.text(alphabet=st.sampled_from("abCÉ e\u0301ßİ.?\"' \t\n“”«\u00a0x"), max_size=40), st.data())
def test_the_key_survives_what_does_not_count(prompt: str, data: st.DataObject) -> None:
    key = matching_key(prompt)
    spaced = "".join(char + data.draw(st.sampled_from(["", " ", "\n "])) if char.isspace() else char for char in prompt)
    quoted = "".join(char + data.draw(st.sampled_from(["", '"', "”", "'"])) for char in prompt)
    assert matching_key(f" {spaced}\n") == key
    assert matching_key(f"«{quoted}»") == key
    assert matching_key(unicodedata.normalize("NFC", prompt)) == key
    if not key.endswith((".", "?")):
        assert matching_key(key) == key
