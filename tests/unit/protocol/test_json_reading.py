"""How much of the other side's JSON is read, and what is mended in it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.jobs import ChatPayload
from node.domain.verdict import Ruling
from node.protocol.json_reading import MAX_ASIDE_BYTES, MAX_VALUES, has_too_many_values, mended, read_aside
from node.protocol.messages import PollReply
from node.protocol.routes import Step
from node.protocol.translate import job
from node.protocol.verdict import judge

TEXTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def rich(unit: bytes, size: int) -> bytes:
    return b"[" + b",".join([unit] * (size // (len(unit) + 1))) + b"]"


@pytest.mark.parametrize("unit", [b"[]", b"[[]]", b"{}", b'{"":0}', b'""', b"0", b'"\\\\"', b'"\\""'])
def test_a_body_of_mere_structure_is_not_read(unit: bytes) -> None:
    body = rich(unit, 8 * 1024 * 1024)
    started = time.process_time()
    assert has_too_many_values(body)
    with pytest.raises(ValueError, match="more than is read"):
        read_aside(body)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "text", [",[{" * MAX_VALUES, '"' * MAX_VALUES, '\\",[' * MAX_VALUES], ids=["marks", "quotes", "both"]
)
def test_what_stands_in_a_text_is_not_counted(text: str) -> None:
    assert not has_too_many_values(json.dumps({"content": text, "more": [text]}).encode())


def test_quotes_that_never_close_take_no_time() -> None:
    started = time.process_time()
    has_too_many_values(b'"' + b'\\",' * (4 * 1024 * 1024))
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("step", [Step.CHECK_SECRET, Step.REGISTER, Step.POLL, Step.UPDATE_RESULT])
@pytest.mark.parametrize("status", [200, 500])
def test_a_rich_answer_is_tried_again(step: Step, status: int) -> None:
    body = rich(b"[[]]", MAX_ASIDE_BYTES - 9)
    assert judge(step, status, {}, body).verdict.ruling is Ruling.RETRY


@pytest.mark.parametrize(
    ("begin", "ruling"),
    [(b'{"detail": "', Ruling.DEAD_LETTER), (b"  [", Ruling.DEAD_LETTER), (b"<html>", Ruling.RETRY)],
)
def test_a_long_refusal_counts_unread(begin: bytes, ruling: Ruling) -> None:
    """A gateway may repeat a long result that it refuses: it would be sent for ever otherwise."""
    assert judge(Step.UPDATE_RESULT, 422, {}, begin + b"x" * MAX_ASIDE_BYTES).verdict.ruling is ruling


def test_a_long_job_is_read() -> None:
    prompt = '"x", [y] {z}\n' * 400_000
    data = {"job_id": "j", "model": "m", "messages": [{"role": "user", "content": prompt}]}
    judged = judge(Step.POLL, 200, {}, json.dumps({"job_data": data}).encode())
    assert judged.verdict.ruling is Ruling.OK


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        (b"a\\ud83d", "a\ufffd"),
        (b"\\uDE00b", "\ufffdb"),
        (b"\\ud83d\\ude00", "\U0001f600"),
        (b"\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        (b"\\\\ud83d", "\\ud83d"),
        (b"\\\\\\ud83d", "\\\ufffd"),
        (b"\xff\xc3(", "\ufffd\ufffd("),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_a_job_with_half_a_character_is_not_dropped(raw: bytes, content: str) -> None:
    body = b'{"job_data":{"job_id":"j","model":"m","messages":[{"role":"user","content":"%s"}]}}' % raw
    judged = judge(Step.POLL, 200, {}, body)
    assert isinstance(judged.message, PollReply)
    assert judged.message.job_data is not None
    made = job(judged.message.job_data)
    assert made is not None
    assert isinstance(made.payload, ChatPayload)
    assert made.payload.prompt == content


def test_a_mark_of_byte_order_is_no_fault() -> None:
    assert judge(Step.CHECK_IDENTITY, 200, {}, b'\xef\xbb\xbf{"valid_credentials": true}').verdict.ruling is Ruling.OK
    assert judge(Step.CHECK_SECRET, 200, {}, b"\xef\xbb\xbf{}").verdict.ruling is Ruling.OK


@given(TEXTS)
def test_what_is_whole_is_not_changed(content: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(content, ensure_ascii=ascii_only)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            continue
        if "\\ud" not in text:
            assert mended(body) == body.removeprefix(b"\xef\xbb\xbf")
        assert not has_too_many_values(body)


@given(st.binary())
def test_mended_is_always_utf8(body: bytes) -> None:
    mended(body).decode()
