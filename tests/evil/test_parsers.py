"""Whatever the other side or an operator's file says, parsers raise what they say they raise, and nothing else."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.domain.errors import EngineFailed, InvalidInput, TokenUnreadable
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.executors.ndjson_stream import NdjsonStream
from node.executors.prompts import load_prompts
from node.gateway.session import server_time
from node.outbox.codec import decode, decode_key
from node.protocol.masking import masked
from node.protocol.messages import JobData, PointsReply, PollReply
from node.protocol.routes import Step
from node.protocol.tokens import KeyReader, KeySetReader, TokenReader, UnverifiedReader
from node.protocol.translate import job
from node.protocol.verdict import judge, retry_after
from node.settings.proxies import parse_proxies
from node.settings.roster import load_roster
from tests.evil.replies import DATES, ODD
from tests.evil.steps import STEPS

SHORT = settings(print_blob=True, max_examples=60, suppress_health_check=list(HealthCheck))

TEXT = st.text(st.characters(), max_size=60)
VALUES = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["job_id", "api_key", "model", "messages", "max_output", "temperature", "x"])
JOBS = st.dictionaries(FIELDS, VALUES)
GOOD = st.sampled_from([step.body for step in STEPS])
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | JOBS.map(lambda data: json.dumps({"job_data": data}).encode())
    | st.builds(lambda good, at, noise: good[:at] + noise + good[at:], GOOD, st.integers(0, 90), st.binary(max_size=4))
)
DATE_TEXTS = st.sampled_from(DATES) | TEXT | st.from_regex(r"\w{3}, \d{1,2} \w{3} \d{1,5} \d+:\d+(:\d+)? [+-]?\d{1,9}")
HEADERS = st.fixed_dictionaries({}, optional={"retry-after": DATE_TEXTS | st.integers().map(str), "date": DATE_TEXTS})


@SHORT
@given(st.sampled_from(list(Step)), st.integers(0, 1100), HEADERS, BODIES, st.booleans())
def test_every_reply_has_a_verdict(
    step: Step, status: int, headers: dict[str, str], body: bytes, renewed: bool
) -> None:
    judged = judge(step, status, headers, body, renewed=renewed)
    assert judged.verdict.ruling in Ruling
    assert len(judged.verdict.reason) < 1000
    wait_s = judged.verdict.retry_after_s
    assert wait_s is None or 0 <= wait_s < 1e12
    if isinstance(judged.message, PointsReply):
        assert math.isfinite(judged.message.points)


@SHORT
@given(HEADERS)
def test_times_in_headers_are_finite_or_none(headers: dict[str, str]) -> None:
    for found in (retry_after(headers), server_time(headers)):
        assert found is None or math.isfinite(found)


@SHORT
@given(JOBS)
def test_a_job_that_names_itself_can_be_answered(data: dict[str, object]) -> None:
    body = json.dumps({"job_data": data}).replace('"@', '"').encode()
    judged = judge(Step.POLL, 200, {}, body)
    if isinstance(judged.message, PollReply) and isinstance(judged.message.job_data, JobData):
        made = job(judged.message.job_data)
        assert (made is None) == (not judged.message.job_data.job_id)


@SHORT
@given(BODIES, st.lists(TEXT.map(Secret), max_size=3))
def test_masking_never_raises(body: bytes, secrets: list[Secret]) -> None:
    assert isinstance(masked(body, secrets), bytes)


@pytest.mark.parametrize("reader", [UnverifiedReader(), KeyReader("k" * 32)], ids=["unverified", "key"])
@SHORT
@given(TEXT | st.lists(st.from_regex(r"[\w-]{0,40}", fullmatch=True), max_size=4).map(".".join))
def test_a_token_is_read_or_unreadable(reader: TokenReader, token: str) -> None:
    with suppress(TokenUnreadable):
        reader.read(token)


KEY_MEMBERS = st.sampled_from(["kty", "n", "e", "d", "p", "q", "oth", "crv", "x", "y", "k", "kid", "alg", "use"])
KEY_VALUES: st.SearchStrategy[object] = st.sampled_from(
    ["RSA", "EC", "oct", "OKP", "P-256", "Ed25519", "AQAB", "none", "RS256", "", 1, -1, None, [], {}]
)


@SHORT
@given(st.lists(st.dictionaries(KEY_MEMBERS, KEY_VALUES), max_size=3).map(lambda keys: {"keys": keys}) | VALUES)
def test_a_key_set_is_usable_or_not(content: object) -> None:
    with suppress(TokenUnreadable):
        KeySetReader(json.dumps(content))


@SHORT
@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_record_of_the_outbox_is_read_or_refused(record: bytes) -> None:
    with suppress(ValueError):
        decode(record)
    with suppress(ValueError):
        decode_key(record.decode("utf-8", "replace"))


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


@SHORT
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"\r\n", b"{}", b"\xe2\x80", b"\xa8\n"]), max_size=12))
async def test_a_stream_of_lines_keeps_lines_whole(pieces: list[bytes]) -> None:
    lines: list[bytes] = []
    with suppress(EngineFailed):
        async for chunk in NdjsonStream(_Pieces(pieces), 200):
            lines += chunk.split(b"\n")
        whole = [line for line in b"".join(pieces).split(b"\n") if line.strip()]
        assert len([line for line in lines if line.strip()]) == len(whole)


FILES = st.binary(max_size=300) | st.lists(TEXT, max_size=8).map(
    lambda lines: "\n".join(lines).encode("utf-8", "replace")
)
PROMPT_FILES = st.lists(st.lists(TEXT | VALUES.map(json.dumps), min_size=2, max_size=3).map(",".join), max_size=5).map(
    lambda rows: "\n".join(["prompt,m_response_1", *rows]).encode("utf-8", "replace")
)


@SHORT
@given(FILES | PROMPT_FILES)
def test_a_prompt_file_never_raises(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        load_prompts([Path(file.name)])


@SHORT
@given(FILES)
def test_a_roster_is_read_or_told_to_be_invalid(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        with suppress(InvalidInput):
            load_roster(Path(file.name))


@SHORT
@given(TEXT | st.from_regex(r"(\w+://)?(\w+:\w+@)?[\w.\[\]:%]{0,20}:\d{0,6}"))
def test_a_list_of_proxies_never_raises(text: str) -> None:
    parse_proxies(text, "proxies.txt")
