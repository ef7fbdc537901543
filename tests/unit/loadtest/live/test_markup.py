"""The page in one piece."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

from node.domain.secret import Secret
from node.loadtest.live.markup import live_page_markup

ASSETS = Path(str(files("node.loadtest.live"))) / "assets"
OWN = sorted(path for path in ASSETS.iterdir() if path.is_file())

HOSTILE = '</title><script>alert(1)</script> $token ${styles} & "it\'s"'


def test_nothing_is_loaded_and_every_script_and_style_is_allowed_by_its_hash() -> None:
    page = live_page_markup(Secret("the-token"), "a plan")
    text = page.html.decode()
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", text)
    assert not re.search(r"\son\w+=|\sstyle=", re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL))
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        allowed = re.search(rf"{directive} ([^;]+)", page.policy)
        assert allowed is not None
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found]
        assert allowed[1].split() == [f"'sha256-{one}'" for one in hashes]
    assert 'content="the-token"' in text


def test_a_title_is_text() -> None:
    text = live_page_markup(Secret("the-token"), HOSTILE).html.decode()
    assert "<script>alert" not in text
    assert "<title>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; $token ${styles}" in text


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_the_page_s_own_files_are_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    assert max(map(len, lines)) <= 200


def test_what_is_of_others_is_as_they_made_it() -> None:
    told = re.findall(r"^ +([0-9a-f]{64})  (\S+)$", (ASSETS / "vendor/README.md").read_text(), flags=re.MULTILINE)
    assert {name for _, name in told} == {"uPlot.iife.min.js", "uPlot.min.css"}
    for digest, name in told:
        assert hashlib.sha256((ASSETS / "vendor" / name).read_bytes()).hexdigest() == digest
    assert "Leon Sorokin" in (ASSETS / "vendor/LICENSE").read_text()
