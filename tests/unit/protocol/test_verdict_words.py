"""What a verdict says to people, and where the sizes of bodies begin to matter."""

from __future__ import annotations

import pytest

from node.domain.verdict import Ruling, Verdict
from node.protocol.json_reading import MAX_ASIDE_BYTES
from node.protocol.routes import Step
from node.protocol.verdict import judge

NOT_JSON = "with a body that is not JSON"


def said(step: Step, status: int, body: bytes = b"") -> Verdict:
    return judge(step, status, {}, body).verdict


@pytest.mark.parametrize(
    ("step", "status", "body", "verdict"),
    [
        (Step.POLL, 302, b"", Verdict(Ruling.FAULT, "HTTP 302: redirects are not followed")),
        (Step.POLL, 503, b"", Verdict(Ruling.RETRY, "HTTP 503")),
        (Step.POLL, 503, b'{"detail": "busy"}', Verdict(Ruling.RETRY, "HTTP 503: busy")),
        (Step.POLL, 503, b"<html>", Verdict(Ruling.RETRY, f"HTTP 503 {NOT_JSON}")),
        (Step.POLL, 401, b"<html>", Verdict(Ruling.RETRY, f"HTTP 401 {NOT_JSON}")),
        (Step.LEAVE, 200, b"<html>", Verdict(Ruling.RETRY, f"HTTP 200 {NOT_JSON}")),
        (
            Step.CHECK_IDENTITY,
            200,
            b'{"valid_credentials": false}',
            Verdict(Ruling.IDENTITY_REFUSED, "the auth service does not hold these credentials valid"),
        ),
        (
            Step.SUBMIT_JOB,
            200,
            b"{}",
            Verdict(Ruling.RETRY, "HTTP 200 without what the step needs: job_id Field required"),
        ),
    ],
)
def test_the_reason(step: Step, status: int, body: bytes, verdict: Verdict) -> None:
    assert said(step, status, body) == verdict


def test_several_faults_of_a_reply_are_all_told_with_their_places() -> None:
    reason = said(Step.CHAT, 200, b'{"model": 1, "choices": [{"message": {"content": 5}}]}').reason
    faults = reason.removeprefix("HTTP 200 without what the step needs: ").split("; ")
    assert len(faults) > 1
    assert {fault.partition(" ")[0].partition(".")[0] for fault in faults} <= {"id", "model", "choices"}
    assert "choices.0.message" in reason


@pytest.mark.parametrize("detail", [b'[{"msg": "no"}, {"other": 1}]', b'["msg"]', b'[{"msg": "no"}, "msg"]'])
def test_a_list_that_is_no_list_of_faults_is_told_as_it_is(detail: bytes) -> None:
    verdict = said(Step.REGISTER, 422, b'{"detail": ' + detail + b"}")
    assert verdict.ruling is Ruling.REFUSED
    assert verdict.reason.startswith("HTTP 422: [")


def test_a_denial_means_a_renewal_unless_there_was_one() -> None:
    assert said(Step.POLL, 401).ruling is Ruling.RENEW
    assert judge(Step.POLL, 401, {}, b"", renewed=True).verdict.ruling is Ruling.SESSION_LOST


def padded(start: bytes, size: int, end: bytes) -> bytes:
    return start + b" " * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("start", [b'{"detail": "x"', b'["x"'])
def test_a_long_refusal_in_json_is_not_read(start: bytes) -> None:
    end = b"}" if start[:1] == b"{" else b"]"
    at_most, too_long = (padded(start, MAX_ASIDE_BYTES + more, end) for more in (0, 1))
    assert said(Step.UPDATE_RESULT, 422, at_most).reason != f"HTTP 422 with a body of {len(at_most)} bytes"
    for body in (too_long, b" \n" + too_long):
        assert said(Step.UPDATE_RESULT, 422, body) == Verdict(
            Ruling.DEAD_LETTER, f"HTTP 422 with a body of {len(body)} bytes"
        )


def test_a_long_page_is_no_answer_of_the_gateway() -> None:
    page = padded(b"<html>", MAX_ASIDE_BYTES + 1, b"</html>")
    assert said(Step.UPDATE_RESULT, 422, page) == Verdict(Ruling.RETRY, f"HTTP 422 {NOT_JSON}")


def test_a_long_reply_is_read_only_where_texts_belong() -> None:
    at_most, too_long = (padded(b'{"access_token": "a.b.c"', MAX_ASIDE_BYTES + more, b"}") for more in (0, 1))
    assert said(Step.REGISTER, 200, at_most).ruling is Ruling.OK
    assert said(Step.REGISTER, 200, too_long) == Verdict(
        Ruling.RETRY, f"HTTP 200 with a body of {len(too_long)} bytes, which is not read"
    )
    job = padded(b'{"job_data": {"job_id": "j"}', MAX_ASIDE_BYTES + 1, b"}")
    assert said(Step.POLL, 200, job).ruling is Ruling.OK
    values = b'{"job_data": {"job_id": "j", "more": [' + b"0," * 3_000_000 + b"0]}}"
    assert said(Step.POLL, 200, values).ruling is Ruling.RETRY


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"access_token": "a.b.c"}', b'{"access_token": "a.b.c", "motd": "\\ud83d"}']
)
def test_a_reply_that_only_its_encoding_spoils_is_read(body: bytes) -> None:
    assert said(Step.REGISTER, 200, body).ruling is Ruling.OK


def test_no_retry_after_without_the_date_it_counts_from() -> None:
    headers = {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert judge(Step.POLL, 503, headers, b"").verdict.retry_after_s is None
