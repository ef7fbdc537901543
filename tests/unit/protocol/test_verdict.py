"""The verdict table of docs/protocol.md, every step by every status by every kind of body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.verdict import Ruling, Verdict
from node.protocol.messages import JobTicket, PointsReply, PollReply, TokenGrant
from node.protocol.routes import Proof, Step
from node.protocol.verdict import judge, retry_after

NODE_STEPS = [
    Step.CHECK_SECRET,
    Step.CHECK_IDENTITY,
    Step.REGISTER,
    Step.UPDATE_MODELS,
    Step.POLL,
    Step.UPDATE_RESULT,
    Step.POINTS,
    Step.LEAVE,
]
DECODABLE = {"nothing": b"", "blank": b" \r\n", "object": b'{"detail": "no"}', "list": b"[]", "null": b"null"}
UNDECODABLE = {
    "html": b"<html>502</html>",
    "cut": b'{"job_data": {"job_id": "a"',
    "binary": b"\xff\xfe\x00",
    "nan": b"NaN",
    "deep": b"[" * 10_000,
}
PASSING = [408, 425, 429, 500, 501, 502, 503, 504, 520, 599]
REFUSING = [400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 418, 421, 422, 431, 451]
REDIRECTS = [300, 301, 302, 303, 304, 307, 308]

GOOD: dict[Step, bytes] = {
    Step.CHECK_IDENTITY: b'{"valid_credentials": true}',
    Step.REGISTER: b'{"access_token": "a.b.c"}',
    Step.POLL: b'{"job_data": {"job_id": "j"}}',
    Step.POINTS: b'{"points": 1.5, "pointsraw": 2}',
    Step.SUBMIT_JOB: b'{"job_id": "j"}',
    Step.GET_RESULT: b'{"status": "success", "result": {"message": {"content": "hi"}}}',
    Step.CHAT: b'{"id": "j", "model": "m", "choices": [{"message": {"content": "hi"}}]}',
}
"""A reply with the fields the step needs; a step that is not here needs none."""

REFUSALS: dict[Step, dict[int, Ruling]] = {
    Step.CHECK_SECRET: dict.fromkeys([401, 403, 404], Ruling.IDENTITY_REFUSED),
    Step.CHECK_IDENTITY: dict.fromkeys([401, 403, 404], Ruling.IDENTITY_REFUSED),
    Step.UPDATE_MODELS: {400: Ruling.SESSION_LOST},
    Step.POLL: {400: Ruling.SESSION_LOST},
    Step.POINTS: {400: Ruling.SESSION_LOST},
    Step.UPDATE_RESULT: {400: Ruling.RENEW, 409: Ruling.ALREADY},
    Step.GET_RESULT: {404: Ruling.PENDING},
}
"""Where a 4xx means something of its own, by step; all others are refused, a result's for good."""


def refusal(step: Step, status: int, *, renewed: bool) -> Ruling:
    if step.route.proof is Proof.BEARER and status in {401, 403}:
        return Ruling.SESSION_LOST if renewed else Ruling.RENEW
    if step is Step.UPDATE_RESULT:
        if status == 400 and renewed:
            return Ruling.DEAD_LETTER
        return REFUSALS[step].get(status, Ruling.DEAD_LETTER)
    return REFUSALS.get(step, {}).get(status, Ruling.REFUSED)


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("step", list(Step))
class TestEveryStep:
    def test_a_refusal_that_can_be_read(self, step: Step, renewed: bool) -> None:
        for status in REFUSING:
            for name, body in DECODABLE.items():
                verdict = judge(step, status, {}, body, renewed=renewed).verdict
                assert verdict.ruling is refusal(step, status, renewed=renewed), (status, name)
                assert str(status) in verdict.reason

    def test_a_refusal_that_cannot_be_read_is_a_passing_fault(self, step: Step, renewed: bool) -> None:
        for status in REFUSING:
            for name, body in UNDECODABLE.items():
                verdict = judge(step, status, {"retry-after": "3"}, body, renewed=renewed).verdict
                assert verdict.ruling is Ruling.RETRY, (status, name)
                assert verdict.retry_after_s == 3

    def test_a_passing_fault(self, step: Step, renewed: bool) -> None:
        for status in PASSING:
            for body in (*DECODABLE.values(), *UNDECODABLE.values()):
                verdict = judge(step, status, {"retry-after": "3"}, body, renewed=renewed).verdict
                assert (verdict.ruling, verdict.retry_after_s) == (Ruling.RETRY, 3)

    def test_a_redirect_is_a_fault_whatever_it_says(self, step: Step, renewed: bool) -> None:
        for status in REDIRECTS:
            for body in (*DECODABLE.values(), *UNDECODABLE.values()):
                judged = judge(step, status, {"location": "/elsewhere"}, body, renewed=renewed)
                assert judged.verdict.ruling is Ruling.FAULT

    def test_success_has_what_the_step_needs(self, step: Step, renewed: bool) -> None:
        for status in (200, 201, 202):
            judged = judge(step, status, {}, GOOD.get(step, b""), renewed=renewed)
            assert judged.verdict == Verdict(Ruling.OK)
            assert (judged.message is not None) == (step in GOOD)

    def test_success_that_cannot_be_read_is_a_passing_fault(self, step: Step, renewed: bool) -> None:
        for name, body in UNDECODABLE.items():
            assert judge(step, 200, {}, body, renewed=renewed).verdict.ruling is Ruling.RETRY, name

    def test_success_without_what_the_step_needs(self, step: Step, renewed: bool) -> None:
        for name, body in DECODABLE.items():
            ruling = judge(step, 200, {}, body, renewed=renewed).verdict.ruling
            if step is Step.POLL and name in {"nothing", "object"}:
                assert ruling is Ruling.NO_JOB
            else:
                assert ruling is (Ruling.RETRY if step in GOOD else Ruling.OK), name


@pytest.mark.parametrize("body", [b'{"job_data":null}', b'{"job_data": null}', b"{}", b"", b' {"job_data" : null } '])
def test_a_poll_without_a_job(body: bytes) -> None:
    for status in (200, 204):
        judged = judge(Step.POLL, status, {}, body)
        assert (judged.verdict.ruling, judged.message) == (Ruling.NO_JOB, None)


def test_a_204_has_no_body_to_look_at() -> None:
    assert judge(Step.POLL, 204, {}, b"<html>").verdict.ruling is Ruling.NO_JOB


@pytest.mark.parametrize("body", [b'{"job_data": []}', b'{"job_data": "x"}', b'{"job_data": 1}', b"[1]", b'"x"'])
def test_a_poll_with_something_else_than_a_job(body: bytes) -> None:
    assert judge(Step.POLL, 200, {}, body).verdict.ruling is Ruling.RETRY


@pytest.mark.parametrize("said", [b"false", b"null", b'"true"', b"1", b"[]", b"{}"])
def test_an_identity_is_good_only_if_true_is_said(said: bytes) -> None:
    judged = judge(Step.CHECK_IDENTITY, 200, {}, b'{"valid_credentials": %b}' % said)
    assert judged.verdict.ruling is Ruling.IDENTITY_REFUSED


@pytest.mark.parametrize("token", [b'""', b"null", b"5", b'["a"]', b'"%b"' % (b"x" * 20_000)])
def test_a_token_is_text_of_a_length_that_headers_take(token: bytes) -> None:
    assert judge(Step.REGISTER, 200, {}, b'{"access_token": %b}' % token).verdict.ruling is Ruling.RETRY


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Step.REGISTER, TokenGrant),
        (Step.POLL, PollReply),
        (Step.POINTS, PointsReply),
        (Step.SUBMIT_JOB, JobTicket),
    ],
)
def test_the_message_comes_with_the_verdict(step: Step, kind: type) -> None:
    assert isinstance(judge(step, 200, {}, GOOD[step]).message, kind)


def test_points_without_the_raw_ones() -> None:
    message = judge(Step.POINTS, 200, {}, b'{"points": 3}').message
    assert isinstance(message, PointsReply)
    assert (message.points, message.pointsraw) == (3, 0)


@pytest.mark.parametrize("points", [b'"many"', b"null", b"NaN", b"Infinity", b"1e999"])
def test_points_are_numbers(points: bytes) -> None:
    assert judge(Step.POINTS, 200, {}, b'{"points": %b}' % points).verdict.ruling is Ruling.RETRY


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "HTTP 422"),
        (b'{"detail": "no such job"}', "HTTP 422: no such job"),
        (b'{"status": "Node not found"}', "HTTP 422: Node not found"),
        (b'{"message": "m", "detail": null}', "HTTP 422: m"),
        (b'{"error": "e", "status": "s"}', "HTTP 422: e"),
        (b'"gone"', "HTTP 422: gone"),
        (b"{}", "HTTP 422"),
        (
            b'{"detail": [{"loc": ["body", "secret"], "msg": "Field required", "input": "hunter2"}, {"msg": "and more"}]}',
            "HTTP 422: body.secret Field required; and more",
        ),
    ],
)
def test_the_reason_is_what_the_gateway_says_but_not_what_it_repeats(body: bytes, reason: str) -> None:
    assert judge(Step.UPDATE_RESULT, 422, {}, body).verdict.reason == reason


def test_a_reason_has_an_end() -> None:
    said = judge(Step.REGISTER, 400, {}, b'{"detail": "%b"}' % (b"x" * 100_000)).verdict.reason
    assert len(said) <= 300


def test_a_reason_does_not_end_within_a_secret() -> None:
    for words in range(40):
        body = b'{"detail": "%b hunter2-hunter2-hunter2 and more%b"}' % (b"ten digits" * words, b"." * 300)
        said = judge(Step.REGISTER, 400, {}, body).verdict.reason
        assert said.replace("hunter2-hunter2-hunter2", "***").count("hunter2") == 0


def test_a_bad_reply_is_described_without_its_content() -> None:
    reason = judge(Step.REGISTER, 200, {}, b'{"access_token": {"hunter2": 1}}').verdict.reason
    assert "access_token" in reason
    assert "hunter2" not in reason


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 120 "}, 120),
        ({"retry-after": "9" * 40}, 999_999_999),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": DATE}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:37 GMT", "date": DATE}, 60),
        ({"retry-after": "Sun, 06 Nov 1994 08:48:37 GMT", "date": DATE}, 0),
        ({"retry-after": DATE, "date": "Sun, 06 Nov 1994 08:49:37 -0000"}, None),
        ({"retry-after": DATE, "date": "Sun, 06 Nov 1994 08:49:37 +99999999999999999999"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


HEADERS = st.dictionaries(st.sampled_from(["retry-after", "date", "content-type"]), st.text(max_size=60))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["job_data", "job_id", "messages", "access_token", "points", "detail", "msg", "loc", "status"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def encoded(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@given(
    step=st.sampled_from(list(Step)),
    status=st.integers(200, 599),
    headers=HEADERS,
    body=st.binary(max_size=200) | JSON.map(encoded),
    renewed=st.booleans(),
)
def test_judge_takes_whatever_comes(
    step: Step, status: int, headers: dict[str, str], body: bytes, renewed: bool
) -> None:
    judged = judge(step, status, headers, body, renewed=renewed)
    assert isinstance(judged.verdict.ruling, Ruling)
    if 200 <= status < 300:
        assert judged.verdict.ruling in {Ruling.OK, Ruling.NO_JOB, Ruling.RETRY, Ruling.IDENTITY_REFUSED}
    if judged.verdict.retry_after_s is not None:
        assert judged.verdict.retry_after_s >= 0
