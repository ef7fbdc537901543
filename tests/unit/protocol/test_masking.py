"""Secrets that a server repeats."""

from __future__ import annotations

import json

from node.domain.secret import Secret
from node.protocol.masking import masked

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
