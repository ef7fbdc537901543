"""The queue of jobs that nodes may claim."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from node.domain.ids import JobId


class Ticket(NamedTuple):
    """A job's place in the queue: ``seq`` counts submissions, and an older job goes first."""

    job_id: JobId
    model: str
    seq: int


class Broker(Protocol):
    """Hands out each job to one claimant at a time, first in first out within a model.

    A job is *queued* after `publish` or `requeue`, *out* after `claim`, and unknown after `settle`.
    """

    async def publish(self, ticket: Ticket) -> None:
        """Queue a job, at the place of its ``seq``; one that is queued already stays as it is."""
        ...

    async def claim(self, models: Sequence[str], unfit: Callable[[JobId], bool]) -> Ticket | None:
        """Take the oldest queued job of these models for which ``unfit`` is false; None when there is none.

        Jobs that are unfit keep their places.
        """
        ...

    async def requeue(self, ticket: Ticket) -> None:
        """Put a job that is out back to its old place; one that is queued stays as it is."""
        ...

    async def settle(self, job_id: JobId) -> None:
        """The job is done: it is not handed out any more, whether it is queued, out or unknown."""
        ...

    def holds(self, job_id: JobId) -> bool:
        """Whether the job is queued."""
        ...

    @property
    def depth(self) -> int:
        """How many jobs are queued."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held. A second call does nothing."""
        ...


class MemoryBroker:
    """A `Broker` in this process, without tasks or timers: a heap a model, so that jobs that come back cost little.

    A ticket that is settled leaves its heap when it comes to the top.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[int, Ticket]]] = {}
        self._queued: dict[JobId, Ticket] = {}

    async def publish(self, ticket: Ticket) -> None:
        """See `Broker.publish`."""
        if ticket.job_id not in self._queued:
            self._queued[ticket.job_id] = ticket
            heapq.heappush(self._heaps.setdefault(ticket.model, []), (ticket.seq, ticket))

    async def claim(self, models: Sequence[str], unfit: Callable[[JobId], bool]) -> Ticket | None:
        """See `Broker.claim`."""
        if not self._queued:
            return None
        oldest: Ticket | None = None
        for model in dict.fromkeys(models):
            first = self._first_fit(model, unfit)
            if first is not None and (oldest is None or first.seq < oldest.seq):
                oldest = first
        if oldest is not None:
            await self.settle(oldest.job_id)
        return oldest

    async def requeue(self, ticket: Ticket) -> None:
        """See `Broker.requeue`."""
        await self.publish(ticket)

    async def settle(self, job_id: JobId) -> None:
        """See `Broker.settle`."""
        ticket = self._queued.pop(job_id, None)
        if ticket is not None:
            self._top(ticket.model)

    def holds(self, job_id: JobId) -> bool:
        """See `Broker.holds`."""
        return job_id in self._queued

    @property
    def depth(self) -> int:
        """See `Broker.depth`."""
        return len(self._queued)

    async def aclose(self) -> None:
        """See `Broker.aclose`."""
        self._heaps.clear()
        self._queued.clear()

    def _top(self, model: str) -> Ticket | None:
        """The oldest ticket of a model, None when there is none; settled ones above it are dropped."""
        heap = self._heaps.get(model)
        if heap is None:
            return None
        while heap and self._queued.get(heap[0][1].job_id) is not heap[0][1]:
            heapq.heappop(heap)
        if not heap:
            del self._heaps[model]
            return None
        return heap[0][1]

    def _first_fit(self, model: str, unfit: Callable[[JobId], bool]) -> Ticket | None:
        """The oldest ticket of a model for which ``unfit`` is false; it stays queued."""
        passed: list[tuple[int, Ticket]] = []
        found = self._top(model)
        while found is not None and unfit(found.job_id):
            passed.append(heapq.heappop(self._heaps[model]))
            found = self._top(model)
        if passed:
            heap = self._heaps.setdefault(model, [])
            for entry in passed:
                heapq.heappush(heap, entry)
        return found
