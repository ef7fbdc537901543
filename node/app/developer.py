"""A developer's way to a gateway: submit a prompt, wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from node.domain.errors import StepRefused, TimedOut, TransportError
from node.domain.policies import BackOff
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.ports.clock import Random
from node.ports.transport import Request, Transport
from node.protocol.masking import masked
from node.protocol.messages import InputMessage, JobOutcome, JobRequest, JobTicket, WireMessage
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge

M = TypeVar("M", bound=WireMessage)

_REQUEST_TIMEOUT_S: Final = 30.0
_ASK_AGAIN: Final = BackOff(base_s=0.2, cap_s=2.0)


class Developer:
    """Submits jobs with an api_key and fetches their results. No error's text repeats the key."""

    def __init__(self, transport: Transport, gateway_url: str, api_key: Secret, random: Random) -> None:
        self._transport = transport
        self._url = gateway_url.rstrip("/")
        self._api_key = api_key
        self._headers = (("api_key", api_key.reveal()), ("content-type", "application/json"))
        self._random = random

    async def submit(self, prompt: str, model: str, max_output: int, temperature: float | None) -> str:
        """Submit one prompt, once, within 30 s; the job's id.

        ``max_output`` is in tokens, 0 or less asks for no limit; ``temperature`` None is the engine's own.

        Raises:
            TransportError: the gateway does not answer.
            StepRefused: it does not take the job, for now or for good.
            ValueError: the model's name is empty, or a text has no form in UTF-8.
        """
        message = InputMessage(role="user", content=prompt)
        body = JobRequest(model=model, messages=[message], max_output=max_output, temperature=temperature)
        judged = await self._ask(Step.SUBMIT_JOB, Step.SUBMIT_JOB.route.path, body.to_wire())
        return _expect(judged, JobTicket).job_id

    async def result(self, job_id: str, timeout_s: float, on_wait: Callable[[], None] = lambda: None) -> JobOutcome:
        """Wait for a job's result, ``timeout_s`` at most, asking again and again; passing faults are waited out.

        ``on_wait`` is called each time that there is none yet. A job that failed has a result, too.

        Raises:
            TimedOut: there is none in time.
            StepRefused: the gateway says that there will be none.
        """
        path = Step.GET_RESULT.route.path.format(job_id=job_id)
        attempt = 0
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    attempt += 1
                    judged = await self._patiently(path)
                    if judged is not None:
                        return _expect(judged, JobOutcome)
                    on_wait()
                    await asyncio.sleep(_ASK_AGAIN.ceiling(attempt) * self._random.uniform(0.5, 1))
        except TimeoutError as error:
            raise TimedOut(f"job {job_id} has no result after {timeout_s:g} s") from error

    async def _patiently(self, path: str) -> Judged | None:
        try:
            judged = await self._ask(Step.GET_RESULT, path)
        except TransportError:
            return None
        return None if judged.verdict.ruling in {Ruling.PENDING, Ruling.RETRY} else judged

    async def _ask(self, step: Step, path: str, body: bytes | None = None) -> Judged:
        request = Request(step.route.method, self._url + path, self._headers, body)
        reply = await self._transport.exchange(request, _REQUEST_TIMEOUT_S)
        said = reply.body if reply.status < 400 else masked(reply.body, (self._api_key,))
        return judge(step, reply.status, reply.headers, said)


def _expect(judged: Judged, kind: type[M]) -> M:
    if judged.verdict.ruling is not Ruling.OK or not isinstance(judged.message, kind):
        raise StepRefused(judged.verdict.reason or "the gateway's answer is not what was asked for")
    return judged.message
