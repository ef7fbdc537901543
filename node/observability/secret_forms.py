"""The ways in which a secret is written where it does not belong."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MIN_CHARS: Final = 6
"""Shorter texts are not looked for by value: they stand in half of all lines, and would mask those."""

_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.(?P<signature>[\w-]{20,})", re.ASCII)
_JSON_ESCAPED: Final = re.compile(r'["\\]')
_REPR_ESCAPED: Final = re.compile(r"['\\]")
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def forms(text: str) -> list[str]:
    """A secret as it may stand in other text, without repeats and in a fixed order.

    Of a JWT only the signature is written in all these ways: what comes before it is no secret, and in plain text
    is known by its pattern.
    """
    signed = _JWT.fullmatch(text)
    core = text if signed is None else signed["signature"]
    data = core.encode("utf-8", "surrogatepass")
    written = [text, core, *_in_code(core, data), *_in_url(data), *_in_base64(data)]
    # Whoever repeats it writes it into a JSON string, and the log's line is another one, or one of Python's.
    for _ in range(2):
        written += [again for form in dict.fromkeys(written) for again in (*_in_json(form), *_in_repr(form))]
    return [form for form in dict.fromkeys(written) if len(form) >= MIN_CHARS]


def _in_json(text: str) -> Iterator[str]:
    if text.isascii() and text.isprintable() and not _JSON_ESCAPED.search(text):
        return
    for ascii_only in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _in_repr(text: str) -> Iterator[str]:
    if text.isprintable() and not _REPR_ESCAPED.search(text):
        return
    # Whether an apostrophe is escaped depends on whether quotation marks stand beside it.
    yield from (repr(text)[1:-1], repr(f'{text}"')[1:-2])


def _in_code(text: str, data: bytes) -> Iterator[str]:
    """As Python's ``repr``, HTML and hexadecimal digits write it."""
    yield from (*_in_repr(text), ascii(text)[1:-1], ascii(f'{text}"')[1:-2])
    yield repr(data)[2:-1]
    yield from (html.escape(text), html.escape(text, quote=False))
    yield from (data.hex(), data.hex().upper())


def _in_url(data: bytes) -> Iterator[str]:
    """Percent-encoded, with digits of either case."""
    for once in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield once
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), once)


def _in_base64(data: bytes) -> Iterator[str]:
    """What is the same in the base64 of whatever contains the data, at each of the three alignments."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        core = whole[first:last].decode("ascii")
        yield core
        yield core.replace("+", "-").replace("/", "_")
