"""Jobs that a gateway hands out, asked for over HTTP in the node's session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from node.domain.errors import SessionLost, StepFault, StepRefused, TransportError, TryLater
from node.domain.events import Notice
from node.domain.jobs import Job
from node.domain.policies import StepTimeouts
from node.domain.results import FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.ports.calls import Call, SessionCalls
from node.ports.events import EventSink
from node.ports.transport import Reply
from node.protocol import translate
from node.protocol.masking import masked
from node.protocol.messages import PollReply
from node.protocol.plain_job import plain_job
from node.protocol.routes import Step
from node.protocol.verdict import EMPTY_POLLS, NO_JOB, Judged, judge

# Looked up once: on Python 3.11 a member of an enum takes as long to find as a call.
_POLL_STEP: Final = Step.POLL
_POLL: Final = _POLL_STEP.route
_POLL_LABEL: Final = _POLL_STEP.label
_RESULT_STEP: Final = Step.UPDATE_RESULT
_RESULT: Final = _RESULT_STEP.route
_RESULT_LABEL: Final = _RESULT_STEP.label
_RENEW: Final = Ruling.RENEW
_OK: Final = Ruling.OK

_TAKEN: Final = frozenset({b'{"status":"ok"}', b'{"status": "ok"}', b"{}", b""})
"""The bodies with which gateways mostly take a result: they say nothing that would be read."""
_ACCEPTED: Final = Judged(Verdict(Ruling.OK))


class _Polled(NamedTuple):
    """What a poll's answer means, and the job that it brought."""

    verdict: Verdict
    job: Job | None = None


_NOTHING: Final = _Polled(NO_JOB.verdict)


class GatewaySource:
    """Polls a gateway and posts results to it (steps 6 and 7): a `node.ports.source.JobSource` on any `SessionCalls`.

    What a reply means is decided by `node.protocol.verdict.judge`.
    """

    __slots__ = ("_calls", "_events", "_poll", "_redact", "_remember", "_result_timeout_s", "source_id")

    def __init__(
        self,
        calls: SessionCalls,
        events: EventSink,
        node_version: str,
        timeouts: StepTimeouts | None = None,
        *,
        remember: Callable[[Secret], object] | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        """Work in the session of ``calls``.

        ``node_version`` is told with every poll. Of the time-outs only those of poll and result count here; None
        stands for the protocol's. ``remember`` is told a job's secrets before anything can be said about it, and again
        with its result, which may come from the disk and an earlier run; ``redact`` masks why a result was refused,
        since that goes to the disk and from there to whoever asks.
        """
        timeouts = timeouts or StepTimeouts()
        self.source_id = calls.source_id
        """See `node.ports.source.JobSource.source_id`."""
        self._calls = calls
        self._events = events
        self._remember = remember
        self._redact = redact
        self._result_timeout_s = timeouts.result_s
        target = f"{_POLL.path}?{urlencode({'node_version': node_version})}"
        # Kept for life: the client knows it again and need not build its request anew.
        self._poll = Call(_POLL_LABEL, _POLL.method, target, timeouts.poll_s, _judge_poll)

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        """See `node.ports.source.JobSource.claim`.

        A job without a ``job_id``, which nobody could answer, counts as none and is told of by a `Notice`.
        """
        try:
            polled = await self._calls.call(self._poll, still_wanted)
        except TransportError as error:
            raise TryLater(str(error)) from error
        if (job := polled.job) is not None:
            self._remember_all(job.receipt)
            return job
        if polled is _NOTHING:
            return None
        verdict = polled.verdict
        match verdict.ruling:
            case Ruling.NO_JOB:
                return None
            case Ruling.OK:
                text = "the gateway handed out a job without a job_id, which nobody could answer"
                self._events.emit(Notice("protocol", text, self._calls.node_id))
                return None
            case Ruling.RETRY:
                raise TryLater(verdict.reason, verdict.retry_after_s)
            case Ruling.RENEW | Ruling.SESSION_LOST:
                raise SessionLost(verdict.reason)
            case Ruling.REFUSED:
                raise StepRefused(verdict.reason)
            case _:
                raise StepFault(verdict.reason)

    async def settle(self, finished: FinishedJob) -> Verdict:
        """See `node.ports.source.JobSource.settle`.

        A gateway that repeats the receipt in a refusal has it masked; what quotes the answer is left out.
        """

        def judged(reply: Reply, renewed: bool) -> Judged:
            if reply.status == 200 and reply.body in _TAKEN:
                return _ACCEPTED
            secrets = tuple(finished.receipt.values())
            body = masked(reply.body, secrets, _answer(finished)) if reply.status >= 400 else reply.body
            return judge(_RESULT_STEP, reply.status, reply.headers, body, renewed=renewed)

        self._remember_all(finished.receipt)
        body = translate.result_wire(finished)
        call = Call(_RESULT_LABEL, _RESULT.method, _RESULT.path, self._result_timeout_s, judged, body)
        try:
            verdict = (await self._calls.call(call)).verdict
        except TransportError as error:
            return Verdict(Ruling.RETRY, self._redact(str(error)))
        except SessionLost as error:
            return Verdict(Ruling.SESSION_LOST, self._redact(str(error)))
        ruling = verdict.ruling
        if ruling is _OK:
            return verdict
        # The session was renewed if that could be done, and this result denied all the same.
        return Verdict(
            Ruling.SESSION_LOST if ruling is _RENEW else ruling, self._redact(verdict.reason), verdict.retry_after_s
        )

    def _remember_all(self, receipt: Mapping[str, Secret]) -> None:
        remember = self._remember
        if remember is not None:
            for secret in receipt.values():
                remember(secret)


def _answer(finished: FinishedJob) -> str:
    match finished.outcome:
        case Success(Generation(text=text)):
            return text
        case _:
            return ""


def _judge_poll(reply: Reply, renewed: bool) -> _Polled:
    if reply.status == 200:
        if reply.body in EMPTY_POLLS:
            return _NOTHING
        if (job := plain_job(reply.body)) is not None:
            return _Polled(_ACCEPTED.verdict, job)
    judged = judge(_POLL_STEP, reply.status, reply.headers, reply.body, renewed=renewed)
    data = judged.message.job_data if isinstance(judged.message, PollReply) else None
    return _Polled(judged.verdict, None if data is None else translate.job(data))
