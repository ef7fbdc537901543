"""Secrets that a server repeats."""

from __future__ import annotations

import json

import pytest

from node.domain.secret import Secret
from node.protocol.masking import masked

ANSWER = 'The gnu did it,\n with a spanner, and said "no" to everybody.'
SECRETS = (Secret("hunter2"), Secret('q"u\\o\u00e9'), Secret(""))


def test_secrets_are_masked_in_values_and_names() -> None:
    said = {"detail": ['no hunter2 "hunter2"', {"hunter2": SECRETS[1].reveal()}], "n": 1.5, "t": True, "z": None}
    for ascii_only in (True, False):
        body = masked(json.dumps(said, ensure_ascii=ascii_only).encode(), SECRETS)
        assert json.loads(body) == {"detail": ['no *** "***"', {"***": "***"}], "n": 1.5, "t": True, "z": None}


def test_a_short_secret_changes_no_structure() -> None:
    body = b'{"code": 1, "ok": true, "text": "1 t"}'
    assert json.loads(masked(body, [Secret("1"), Secret("t")]))["code"] == 1


def test_what_is_not_json_stays_as_it_is() -> None:
    for body in (b"<html>hunter2", b"", b"NaN", b"\xff"):
        assert masked(body, SECRETS) == body


@pytest.mark.parametrize("before", ["", "bad: ", "." * 270, "." * 299])
def test_a_text_that_quotes_the_answer_is_left_out(before: str) -> None:
    body = json.dumps({"detail": [f"{before}{ANSWER[4:60]}", "hunter2 is short"], ANSWER: {"input": ANSWER}}).encode()
    said = json.loads(masked(body, SECRETS, ANSWER))
    withheld = "(a text that quotes the result)"
    assert said == {"detail": [withheld, "*** is short"], withheld: {"input": withheld}}


def test_of_much_text_the_beginning_is_kept() -> None:
    said = json.loads(masked(json.dumps({"detail": "why " * 500, "more": ["x" * 1000] * 100}).encode(), [], ANSWER))
    assert said["detail"] == "why " * 100
    assert 10_000 < sum(map(len, said["more"])) < 20_000
    assert said["more"][-1] == ""
