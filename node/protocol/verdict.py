"""What an answer means: the one place that decides what is retried, renewed, refused or lost.

The rules are the table "The verdict" of docs/protocol.md, from its first row down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic import ValidationError

from node.domain.secret import shortened
from node.domain.verdict import Ruling, Verdict
from node.protocol.json_reading import MAX_ASIDE_BYTES, has_too_many_values, mended, read_aside
from node.protocol.messages import (
    ChatReply,
    ErrorReply,
    IdentityReply,
    JobOutcome,
    JobTicket,
    PointsReply,
    PollReply,
    TokenGrant,
    WireMessage,
)
from node.protocol.routes import Proof, Step

EXPECTED: Final[Mapping[Step, type[WireMessage]]] = {
    Step.CHECK_IDENTITY: IdentityReply,
    Step.REGISTER: TokenGrant,
    Step.POLL: PollReply,
    Step.POINTS: PointsReply,
    Step.SUBMIT_JOB: JobTicket,
    Step.GET_RESULT: JobOutcome,
    Step.CHAT: ChatReply,
}
"""The steps whose answer must have fields, and the message that has them."""

_WITH_TEXTS: Final = frozenset({Step.POLL, Step.GET_RESULT, Step.CHAT})
"""The steps whose answer holds a prompt or an answer, which may be long."""

_POLL: Final = Step.POLL
_PASSING: Final = frozenset({408, 425, 429})
_REASON_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and the message that was read on the way to it.

    The message is the step's in `EXPECTED` when the ruling is ``OK``; None otherwise, and for all other steps.
    """

    verdict: Verdict
    message: WireMessage | None = None


_OK: Final = Judged(Verdict(Ruling.OK))
NO_JOB: Final = Judged(Verdict(Ruling.NO_JOB))
"""What comes of a poll that brings nothing."""
EMPTY_POLLS: Final = frozenset({b'{"job_data":null}', b'{"job_data": null}', b"{}", b""})
"""The bodies with which gateways say that there is no job, as they mostly do: they need not be read."""


def judge(step: Step, status: int, headers: Mapping[str, str], body: bytes, *, renewed: bool = False) -> Judged:
    """Say what an answer means for the one who asked. Never raises.

    A refusal's reason quotes the body, 300 characters at most: see `node.protocol.masking.masked`.

    Args:
        step: what was asked.
        status: the answer's HTTP status.
        headers: its headers, names in lower case.
        body: its whole body, decompressed.
        renewed: whether the session was already renewed on behalf of this very request.
    """
    if 200 <= status < 300:
        if step is _POLL and (status == 204 or body in EMPTY_POLLS):
            return NO_JOB
        return _judge_success(step, status, body)
    if 300 <= status < 400:
        return _ruled(Ruling.FAULT, f"HTTP {status}: redirects are not followed")
    reason = _reason(status, body)
    if status >= 500 or status in _PASSING or reason is None:
        text = reason if reason is not None else f"HTTP {status} with a body that is not JSON"
        return Judged(Verdict(Ruling.RETRY, text, retry_after(headers)))
    return _ruled(_judge_refusal(step, status, renewed=renewed), reason)


def _judge_success(step: Step, status: int, body: bytes) -> Judged:
    expected = EXPECTED.get(step)
    if expected is None:
        return _OK if _is_readable(body) else _ruled(Ruling.RETRY, f"HTTP {status} with a body that is not JSON")
    if (len(body) > MAX_ASIDE_BYTES and step not in _WITH_TEXTS) or has_too_many_values(body):
        return _ruled(Ruling.RETRY, f"HTTP {status} with a body of {len(body)} bytes, which is not read")
    try:
        message = _read(expected, body)
    except ValidationError as error:
        return _ruled(Ruling.RETRY, f"HTTP {status} without what the step needs: {_faults(error)}")
    return _judge_message(message)


def _read(expected: type[WireMessage], body: bytes) -> WireMessage:
    try:
        return expected.model_validate_json(body)
    except ValidationError:
        whole = mended(body)
        if whole == body:
            raise
        return expected.model_validate_json(whole)


def _judge_message(message: WireMessage) -> Judged:
    if isinstance(message, PollReply):
        return NO_JOB if message.job_data is None else Judged(_OK.verdict, message)
    if isinstance(message, IdentityReply) and message.valid_credentials is not True:
        return _ruled(Ruling.IDENTITY_REFUSED, "the auth service does not hold these credentials valid")
    return Judged(_OK.verdict, message)


def _judge_refusal(step: Step, status: int, *, renewed: bool) -> Ruling:
    if step in {Step.CHECK_SECRET, Step.CHECK_IDENTITY} and status in {401, 403, 404}:
        return Ruling.IDENTITY_REFUSED
    if status in {401, 403} and step.route.proof is Proof.BEARER:
        return Ruling.SESSION_LOST if renewed else Ruling.RENEW
    if status == 400 and step in {Step.POLL, Step.UPDATE_MODELS, Step.POINTS}:
        return Ruling.SESSION_LOST
    if step is Step.UPDATE_RESULT:
        return _judge_refused_result(status, renewed=renewed)
    if step is Step.GET_RESULT and status == 404:
        return Ruling.PENDING
    return Ruling.REFUSED


def _judge_refused_result(status: int, *, renewed: bool) -> Ruling:
    if status == 409:
        return Ruling.ALREADY
    if status == 400 and not renewed:
        return Ruling.RENEW
    return Ruling.DEAD_LETTER


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks to wait (RFC 9110, 10.2.3); None without it or where it cannot be read.

    A date is taken relative to the answer's own ``Date``, so that no clock but the server's matters.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        asked = parsedate_to_datetime(text)
        sent = parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (asked - sent).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _ruled(ruling: Ruling, reason: str) -> Judged:
    return Judged(Verdict(ruling, reason))


def _is_readable(body: bytes) -> bool:
    """Whether an answer that needs no fields came from the one who was asked: it is empty or JSON."""
    if not body or body.isspace():
        return True
    if len(body) > MAX_ASIDE_BYTES:
        return _begins_as_json(body)
    try:
        read_aside(body)
    except ValueError:
        return False
    return True


def _begins_as_json(body: bytes) -> bool:
    """As far as a body is looked at that is long: a gateway may repeat a result; a proxy's page is no JSON."""
    return body[:64].lstrip()[:1] in (b"{", b"[")


def _reason(status: int, body: bytes) -> str | None:
    """A sentence from the body of an answer; None when there is a body and it is not JSON."""
    if not body or body.isspace():
        return f"HTTP {status}"
    if len(body) > MAX_ASIDE_BYTES:
        return f"HTTP {status} with a body of {len(body)} bytes" if _begins_as_json(body) else None
    try:
        content = read_aside(body)
    except ValueError:
        return None
    if isinstance(content, dict):
        reply = ErrorReply.model_validate(content)
        said = next((part for part in (reply.detail, reply.error, reply.message, reply.status) if part), None)
    else:
        said = content
    said = _without_input(said)
    return shortened(f"HTTP {status}: {said}", _REASON_CHARS) if said else f"HTTP {status}"


def _without_input(said: Any) -> Any:
    """What a server found wrong in a body, without the body: FastAPI repeats that in each entry's ``input``."""
    if not isinstance(said, list) or not all(isinstance(part, dict) and "msg" in part for part in said):
        return said
    places = ((part.get("loc"), part["msg"]) for part in said)
    return "; ".join(f"{'.'.join(map(str, loc)) if isinstance(loc, list) else ''} {msg}".strip() for loc, msg in places)


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    texts = (f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in faults)
    return shortened("; ".join(texts), _REASON_CHARS)
