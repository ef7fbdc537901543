"""Reading JSON that the other side wrote: no more than is good for the reader, and all that can be understood.

A body of nothing but brackets takes some hundred times its size when it is parsed, and seconds of the event
loop: a limit of bytes alone does not bound what it costs.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from pydantic_core import from_json

MAX_VALUES: Final = 50_000
"""Lists, objects and their members that a body may have; one takes up to 200 bytes when it is parsed."""

MAX_ASIDE_BYTES: Final = 1024 * 1024
"""The longest body that is read for what it says beside its status, and the longest that is mended."""

_TEXT_OR_VALUE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|([\[{,])', re.DOTALL)
_SURROGATES: Final = re.compile(
    rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


def has_too_many_values(body: bytes) -> bool:
    """Whether a JSON body has more than `MAX_VALUES`, commas and brackets within its texts not counted."""
    if len(body) <= MAX_VALUES or body.count(b",") + body.count(b"[") + body.count(b"{") <= MAX_VALUES:
        return False
    # In JSON at most two texts come for each mark of a value: what is cut off here has too many marks, or is none.
    marks = [match.lastindex for match in islice(_TEXT_OR_VALUE.finditer(body), 3 * MAX_VALUES)]
    return len(marks) == 3 * MAX_VALUES or marks.count(1) > MAX_VALUES


def mended(body: bytes) -> bytes:
    """The body without what JSON's grammar lets pass and its readers do not: a mark of byte order at its begin,
    and halves of surrogate pairs, as cut-off emoji leave them; each becomes U+FFFD, as do bytes that are not UTF-8.
    """
    if len(body) > MAX_ASIDE_BYTES:
        return body
    text = body.decode("utf-8-sig", "replace").encode()
    return _SURROGATES.sub(lambda match: rb"\ufffd" if match.lastindex else match.group(), text)


def read_aside(body: bytes) -> Any:
    """The content of a body that is not needed for what it holds.

    Raises:
        ValueError: it is not JSON, or more than is read.
    """
    if len(body) > MAX_ASIDE_BYTES or has_too_many_values(body):
        raise ValueError("the body is more than is read")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return from_json(mended(body), allow_inf_nan=False)
