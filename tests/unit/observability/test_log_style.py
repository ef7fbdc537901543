from __future__ import annotations

import json

from node.domain.secret import Secret
from node.observability.log_style import Fields, console_style, json_style, plain_style, timestamp

FIELDS: Fields = {
    "timestamp": "2026-11-21T09:00:00.000Z",
    "level": "info",
    "event": "poll failed",
    "node": "node-1",
    "reason": 'HTTP 503: "busy"',
    "took_ms": 1.5,
    "job": None,
    "already": True,
}


def test_times_are_iso_8601_in_utc() -> None:
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_700_000_000.1234) == "2023-11-14T22:13:20.123Z"


def test_json_lines_hold_every_field() -> None:
    assert json.loads(json_style()(FIELDS)) == FIELDS


def test_json_takes_any_value_and_shows_no_secret() -> None:
    assert json.loads(json_style()({"event": "x", "secret": Secret("hunter2")})) == {"event": "x", "secret": "***"}


def test_plain_lines_are_key_value_pairs_in_order() -> None:
    line = plain_style()(FIELDS)
    assert line.startswith('timestamp=2026-11-21T09:00:00.000Z level=info event="poll failed" node=node-1')
    assert "already=true" in line


def test_what_others_sent_neither_breaks_lines_nor_commands_a_terminal() -> None:
    evil = "one\ntwo\r\x1b[2Jthree\x9b\u202efour"
    for style in (plain_style(), console_style(colors=False), json_style()):
        line = style({"timestamp": "t", "level": "info", "event": evil, "reason": evil})
        assert line.isprintable()
        assert "three" in line


def test_colors_only_where_asked() -> None:
    assert "\x1b[" not in console_style(colors=False)(FIELDS)
    assert "\x1b[" in console_style(colors=True)(FIELDS)


def test_styles_leave_the_fields_alone() -> None:
    before = dict(FIELDS)
    for style in (plain_style(), console_style(colors=True), json_style()):
        style(FIELDS)
    assert before == FIELDS
