"""What the gateway says when all is over, asked for through its public endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from node.domain.errors import TransportError
from node.domain.ids import JobId
from node.domain.verdict import Ruling
from node.loadtest.audit.book import Book
from node.loadtest.audit.digest import digest
from node.loadtest.audit.views import Said
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.target import Target
from node.ports.transport import Request
from node.protocol.messages import JobOutcome
from node.protocol.routes import Step
from node.protocol.verdict import judge

_ATTEMPTS: Final = 3


async def ask_for_results(
    book: Book, jobs: Sequence[JobId], target: Target, policy: DriverPolicy, *, is_last_word: bool = True
) -> None:
    """Enter into the book what ``/get_result`` says of each job, ``policy.ask_at_once`` of them at the same time.

    A job of which it says nothing usable is left as it is; and so, where it is not the last word, is one without a
    result.
    """
    asker = _Asker(book, target, policy, is_last_word=is_last_word)
    left = iter(jobs)
    async with asyncio.TaskGroup() as group:
        for number in range(min(policy.ask_at_once, len(jobs))):
            group.create_task(asker.ask_all(left), name=f"ask for results {number}")


class _Asker:
    def __init__(self, book: Book, target: Target, policy: DriverPolicy, *, is_last_word: bool) -> None:
        self._book = book
        self._transport = target.transport
        self._url = target.gateway_url.rstrip("/") + Step.GET_RESULT.route.path
        self._headers = (("api_key", target.api_key.reveal()),)
        self._policy = policy
        self._is_last_word = is_last_word

    async def ask_all(self, jobs: Iterator[JobId]) -> None:
        for job in jobs:
            for _ in range(_ATTEMPTS):
                if await self._ask(job):
                    break

    async def _ask(self, job: JobId) -> bool:
        request = Request(Step.GET_RESULT.route.method, self._url.format(job_id=job), self._headers)
        try:
            reply = await self._transport.exchange(request, self._policy.ask_s)
        except TransportError:
            return False
        judged = judge(Step.GET_RESULT, reply.status, reply.headers, reply.body)
        if judged.verdict.ruling is Ruling.PENDING:
            if self._is_last_word:
                self._book.said(job, Said.PENDING)
            return True
        if isinstance(judged.message, JobOutcome):
            outcome = judged.message
            said = Said.SUCCESS if outcome.status == "success" else Said.ERROR
            self._book.said(job, said, digest(outcome.status, outcome.result), outcome.model_name or "")
            return True
        return False
