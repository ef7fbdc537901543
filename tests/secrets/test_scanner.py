"""The scanner sees a planted leak on every channel and in every disguise."""

from __future__ import annotations

import base64
import html
import json
import sqlite3
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.secrets.scanner import Finding, Scanner, files_below

SECRET = 'canary/+"ü&-4711-hush'
PLAIN = "canary-0123456789abcdef-plain"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJub2RlIjoibi0xIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize("secret", [SECRET, PLAIN, TOKEN])
@pytest.mark.parametrize("around", ["", "x", "xy", "user:"])
def test_no_disguise_hides_a_secret(secret: str, around: str) -> None:
    text = f"{around}{secret}"
    disguised = [
        text.encode(),
        json.dumps(text).encode(),
        json.dumps(text, ensure_ascii=False).encode(),
        json.dumps({"log": json.dumps(text)}).encode(),
        repr(text).encode(),
        repr(text.encode()).encode(),
        html.escape(text).encode(),
        quote(text).encode(),
        quote_plus(text).encode(),
        quote(text, safe="").lower().encode() if secret.islower() else quote(text, safe="").encode(),
        b"Basic " + encoded(text),
        base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
        text.encode().hex().encode(),
        text.encode().hex().upper().encode(),
        quote(json.dumps(text)).encode(),
        json.dumps({"header": encoded(text).decode()}).encode(),
    ]
    scanner = Scanner({"it": secret})
    assert [scanner.secrets_in(b"before " + data + b" after") for data in disguised] == [{"it"}] * len(disguised)


def test_part_of_a_secret_is_seen_and_what_is_none_is_not() -> None:
    scanner = Scanner({"plain": PLAIN, "token": TOKEN})
    for start in range(len(PLAIN) - 19):
        assert scanner.secrets_in(PLAIN[start : start + 19].encode()) == {"plain"}
    assert scanner.secrets_in(TOKEN[-25:].encode()) == {"token"}
    assert scanner.secrets_in(TOKEN.rpartition(".")[0].encode()) == set()
    assert scanner.secrets_in(b"*** canary plain " + bytes(range(256))) == set()


def test_every_kind_of_file_is_searched_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "nodes.log").write_text(f"error={PLAIN}\n")
    (tmp_path / f"{PLAIN}.json").write_text("{}")
    (tmp_path / quote(SECRET, safe="")).mkdir()
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        database.execute("CREATE TABLE results(key TEXT, record BLOB)")
        database.execute("INSERT INTO results VALUES (?, ?)", (SECRET, PLAIN.encode()))
    database.close()
    found = Scanner({"plain": PLAIN, "odd": SECRET}).scan([*files_below(tmp_path), ("stdout", encoded(SECRET))])
    assert sorted(found) == [
        Finding(quote(SECRET, safe=""), "odd"),
        Finding(f"{PLAIN}.json", "plain"),
        Finding("logs/nodes.log", "plain"),
        Finding("results.sqlite", "odd"),
        Finding("results.sqlite", "plain"),
        Finding("stdout", "odd"),
    ]
