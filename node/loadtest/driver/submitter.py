"""Jobs on their way to the gateway: an open stream, which keeps to its times however slow the gateway is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Final, Protocol

from node.domain.errors import ConnectFailed, TransportError
from node.domain.ids import JobId
from node.domain.verdict import Ruling
from node.loadtest.driver.plan_time import PlanTime
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.shortage import shortage
from node.loadtest.driver.target import Target
from node.loadtest.plan.arrivals import Arrival
from node.ports.transport import Request
from node.protocol.messages import InputMessage, JobRequest, JobTicket
from node.protocol.routes import Step
from node.protocol.verdict import judge
from node.runtime.tasks import TaskOwner

_AT_ONCE: Final = 32
"""Submissions begun between two turns of the event loop while the stream is behind."""

_WORDS: Final = ("tell", "me", "about", "rivers", "and", "what", "they", "carry", "to", "the", "sea")


class Submissions(Protocol):
    """Is told how the stream fares. Times are Unix seconds of the run's own clock."""

    def offered(self) -> None:
        """A job was due."""
        ...

    def sent(self, late_s: float) -> None:
        """Its submission was begun, so long after it was due."""
        ...

    def taken(self, job: JobId, model: str, intended_at: float) -> None:
        """The gateway has taken it."""
        ...

    def withheld(self, late_s: float) -> None:
        """Its submission could have begun, so long after it was due, but for those that the gateway has not answered."""
        ...

    def failed(self, reason: str, intended_at: float, *, is_unconfirmed: bool) -> None:
        """It has not, or nobody knows whether it has."""
        ...


class Submitter:
    """Submits each job at its time, in a task of its own, so that no answer is waited for before the next goes out."""

    def __init__(self, target: Target, tasks: TaskOwner, told: Submissions, policy: DriverPolicy) -> None:
        self._transport = target.transport
        self._url = target.gateway_url.rstrip("/") + Step.SUBMIT_JOB.route.path
        self._headers = (("api_key", target.api_key.reveal()), ("content-type", "application/json"))
        self._tasks = tasks
        self._told = told
        self._policy = policy
        self.in_flight = 0
        """Submissions without an answer yet."""

    async def run(self, arrivals: Iterator[Arrival], time: PlanTime) -> None:
        """Submit until there are no more, or the plan's time is ended."""
        for place, arrival in enumerate(arrivals):
            # A stream that is behind lets others have their turn all the same.
            must_wait = arrival.at_s > time.now_s or place % _AT_ONCE == 0
            if must_wait and not await time.until(arrival.at_s):
                self._give_up(itertools.chain((arrival,), arrivals), time.now_s)
                return
            self._told.offered()
            late_s = time.now_s - arrival.at_s
            if self.in_flight >= self._policy.max_in_flight:
                self._told.withheld(late_s)
            else:
                self.in_flight += 1
                self._told.sent(late_s)
                self._tasks.start(self._submit(arrival, time.due(arrival.at_s)), "submit a job", self._answered)

    def _give_up(self, arrivals: Iterator[Arrival], now_s: float) -> None:
        """Count those that were due by now and are not sent."""
        for arrival in arrivals:
            if arrival.at_s > now_s:
                return
            self._told.offered()

    def _answered(self) -> None:
        self.in_flight -= 1

    async def _submit(self, arrival: Arrival, intended_at: float) -> None:
        message = InputMessage(role="user", content=prompt(arrival.number, arrival.prompt_tokens))
        body = JobRequest(model=arrival.model, messages=[message], max_output=arrival.max_output)
        request = Request(Step.SUBMIT_JOB.route.method, self._url, self._headers, body.to_wire())
        try:
            reply = await self._transport.exchange(request, self._policy.submit_timeout_s)
        except asyncio.CancelledError:
            self._told.failed("no answer before the end", intended_at, is_unconfirmed=True)
            raise
        except TransportError as error:
            self._told.failed(_named(error), intended_at, is_unconfirmed=not isinstance(error, ConnectFailed))
            return
        judged = judge(Step.SUBMIT_JOB, reply.status, reply.headers, reply.body)
        if judged.verdict.ruling is Ruling.OK and isinstance(judged.message, JobTicket):
            self._told.taken(JobId(judged.message.job_id), arrival.model, intended_at)
        else:
            # A gateway that fails in the middle may have the job, and one that says yes in other words has it.
            is_unconfirmed = reply.status >= 500 or reply.status < 300
            self._told.failed(f"HTTP {reply.status}", intended_at, is_unconfirmed=is_unconfirmed)


def prompt(number: int, tokens: int) -> str:
    """A prompt of so many words, one at least; that of each job is another."""
    words = itertools.islice(itertools.cycle(_WORDS), max(0, tokens - 1))
    return " ".join((f"[loadtest:{number}]", *words))


def _named(error: TransportError) -> str:
    return shortage(error) or type(error).__name__
