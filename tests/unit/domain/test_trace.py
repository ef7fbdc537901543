from __future__ import annotations

import pytest

from node.domain.trace import TraceContext, parse_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def test_a_context_survives_the_header() -> None:
    context = TraceContext(int(TRACE, 16), int(SPAN, 16))
    assert context.traceparent == f"00-{TRACE}-{SPAN}-01"
    assert parse_traceparent(context.traceparent) == context
    small = TraceContext(1, 2, is_sampled=False)
    assert small.traceparent == f"00-{1:032}-{2:016}-00"
    assert parse_traceparent(small.traceparent) == small


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-00", False),
        (f" 00-{TRACE}-{SPAN}-03 ", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-come", True),
    ],
)
def test_valid_headers_are_read(text: str, sampled: bool) -> None:
    assert parse_traceparent(text) == TraceContext(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
    ],
)
def test_others_are_not(text: str) -> None:
    assert parse_traceparent(text) is None
