"""Text stays text, whatever it says."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.report.markup import Markup, joined, plain, tag


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text(), st.text())
def test_what_is_written_is_read_again_and_is_no_tag(text: str, attribute: str) -> None:
    reader = read(tag("p", text, title=attribute))
    assert reader.tags == [("p", {"title": plain(attribute)})]
    assert reader.text == plain(text)


def test_markup_is_taken_as_it_stands_and_nested() -> None:
    assert tag("p", [tag("b", "<"), None, (3, Markup("<br>"))], "&") == "<p><b>&lt;</b>3<br>&amp;</p>"


def test_attributes() -> None:
    written = tag("td", class_="a", data_label='"<', open=True, hidden=False, title=None, x=0.5, colspan=2)
    assert written == '<td class="a" data-label="&quot;&lt;" open x="0.5" colspan="2"></td>'


def test_void_elements_have_no_end() -> None:
    assert tag("meta", name="viewport") == '<meta name="viewport">'


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\x7f", "\ud800", "\uffff", "\u202e", "\u2067"])
def test_characters_that_no_document_may_hold_are_replaced(bad: str) -> None:
    assert plain(f"a{bad}b") == "a\ufffdb"
    assert joined(f"a{bad}b\n") == "a\ufffdb\n"
