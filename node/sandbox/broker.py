"""The queue of jobs that nodes may claim."""

from __future__ import annotations

from collections import deque
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
    """A `Broker` in this process, without tasks or timers."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Ticket]] = {}
        self._queued: dict[JobId, Ticket] = {}

    async def publish(self, ticket: Ticket) -> None:
        """See `Broker.publish`."""
        if ticket.job_id in self._queued:
            return
        queue = self._queues.setdefault(ticket.model, deque())
        self._queued[ticket.job_id] = ticket
        if not queue or queue[-1].seq < ticket.seq:
            queue.append(ticket)
            return
        place = next(index for index, other in enumerate(queue) if other.seq >= ticket.seq)
        queue.insert(place, ticket)

    async def claim(self, models: Sequence[str], unfit: Callable[[JobId], bool]) -> Ticket | None:
        """See `Broker.claim`."""
        if not self._queued:
            return None
        oldest: Ticket | None = None
        for model in models:
            queue = self._queues.get(model)
            if queue is None:
                continue
            self._drop_settled(model, queue)
            first = next((t for t in queue if self._queued.get(t.job_id) is t and not unfit(t.job_id)), None)
            if first is not None and (oldest is None or first.seq < oldest.seq):
                oldest = first
        if oldest is not None:
            del self._queued[oldest.job_id]
            self._drop_settled(oldest.model, self._queues[oldest.model])
        return oldest

    async def requeue(self, ticket: Ticket) -> None:
        """See `Broker.requeue`."""
        await self.publish(ticket)

    async def settle(self, job_id: JobId) -> None:
        """See `Broker.settle`."""
        ticket = self._queued.pop(job_id, None)
        if ticket is not None:
            self._drop_settled(ticket.model, self._queues[ticket.model])

    def holds(self, job_id: JobId) -> bool:
        """See `Broker.holds`."""
        return job_id in self._queued

    @property
    def depth(self) -> int:
        """See `Broker.depth`."""
        return len(self._queued)

    async def aclose(self) -> None:
        """See `Broker.aclose`."""
        self._queues.clear()
        self._queued.clear()

    def _drop_settled(self, model: str, queue: deque[Ticket]) -> None:
        """Tickets leave a queue lazily, from its head: taking one from the middle would cost its length."""
        while queue and self._queued.get(queue[0].job_id) is not queue[0]:
            queue.popleft()
        if not queue:
            self._queues.pop(model, None)
