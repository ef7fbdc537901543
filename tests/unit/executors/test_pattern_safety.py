from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.executors.pattern_safety import safe_pattern

USUAL = {
    r"(?i)\b(bomb|explosive)s?\b": "Two BOMBS",
    r"(?i)ignore\s{1,9}(all\s{1,9})?previous\s{1,9}instructions": "Ignore all  previous instructions.",
    r"(?:password|secret)\s{0,9}[:=]\s{0,9}\S+": "password: hunter2",
    r"\b\d{3}-\d{2}-\d{4}\b": "it is 123-45-6789",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "00000000-1111-2222-3333-444444444444",
    r"(\d{1,3}\.){3}\d{1,3}": "at 10.0.0.1",
    r"[\w.+-]@[\w-]{1,63}\.[\w.-]+": "to a.b@example.org",
    r"foo.{0,200}bar.*|baz\s{1,99}qux\s*": "baz   qux",
    r"(abc){1,99}d": "abcabcd",
    r"[]x]{2}[^]]]+": "]xy]]",
    r"a{,x}{y": "a{,x}{y",
    r"(?#a ( comment|)a": "a",
    r"x\{2,\}\*": "x{2,}*",
    r"(?P<word>foo)(?=bar|baz)b": "foobaz",
    r"\(\|?\)": "(|)",
    r"\N{EM DASH}{2}": "——",
    r"^(?!.{0,999}forbidden)translate": "translate this",
    r"\x41\u0042+?": "AB",
    r"(?>spam){2}+": "spamspam",
    r"a{0}b{,2}c": "bc",
}


@pytest.mark.parametrize(("pattern", "text"), USUAL.items())
def test_what_operators_usually_write_is_taken(pattern: str, text: str) -> None:
    assert safe_pattern(pattern).search(text)


EXPLOSIVE = [
    r"(a+)+$",
    r"(a*)*b",
    r"(a|a)*",
    r"(a|ab)+c",
    r"(a?){30}a{30}",
    r"((a{1,2}){1,9}){1,9}",
    r"([a-z]{1,9}\s?){1,9}x",
    r"(?:(?:x)*y?){2,}",
    r"(?=(a+))b",
    r"(?i:(?P<n>a|b){5,})z",
    r"foo.*bar",
    r"(a.{2,}|b)",
    r"(a+)",
    r".*x",
    r"\s+$",
    r"[\w]+[)]",
    r".{0,100}.{0,100}x",
    r"(a|b|c)" * 8,
    r"(a)\1",
    r"(?P<n>a)(?P=n)",
    r"(a)?(?(1)b|c)",
    r"a{1001}",
    r"a{1001,}",
    r"(a|b){1000}c",
]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_what_could_take_too_long_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"repeat|refers back"):
        safe_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(", "a**", "[a", "(?P<n>a", "\\", "(" * 5000 + ")" * 5000, "a{99999999999}", "", "(?x)a", "[[]a", "[a--b]"],
)
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"the pattern .* is"):
        safe_pattern(pattern)


PIECES = st.sampled_from(
    ["a", "b", ".", r"\w", r"\s", "[ab]", "[^b]", "*", "+", "?", "{2}", "{1,3}", "{2,}", "(", "(?:", ")", "|", "^", "$"]
)


@settings(max_examples=500, derandomize=True)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_whatever_is_taken_ends_on_texts_made_against_it(text: str) -> None:
    try:
        pattern = safe_pattern(text)
    except ValueError:
        return
    for hostile in ("a" * 3000 + "!", "ab" * 1500 + "!", "a b " * 750 + "!"):
        began = time.thread_time()
        pattern.search(hostile)
        assert time.thread_time() - began < 5


def test_the_costliest_patterns_end_soon() -> None:
    for costly in (r"(a?a?){5}!", r"(a|aa){10}!", r".{0,44}.{0,43}!"):
        began = time.thread_time()
        assert not safe_pattern(costly).search("a" * 5000)
        assert time.thread_time() - began < 5, "a tenth of what is looked through, so a second or so"
