"""Asking for work: when the next poll is due, and what a failed one means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.domain.errors import StepFault, TryLater, Withdrawn
from node.domain.events import PollEnded, PollFailed, PollStarted
from node.domain.ids import NodeId
from node.domain.jobs import Job
from node.ports.source import JobSource
from node.worker.surroundings import Surroundings

_TURN_SHARE: Final = 0.04
"""Of a poll cycle, between two bursts of jobs: with the usual cycle 0.2 s."""


class Poller:
    """The polls of one session.

    After a job it polls again at once, and gives others a turn after a burst of them; with none it waits the rest of
    its cycle, with jitter; after a failed poll it does so too and backs off beyond that, and too many failures in a
    row are a fault.
    """

    __slots__ = (
        "_around",
        "_failures",
        "_in_a_row",
        "_node",
        "_source",
        "backing_off",
        "due",
        "found_nothing",
        "succeeded",
    )

    def __init__(self, node: NodeId, around: Surroundings, source: JobSource) -> None:
        self._node = node
        self._around = around
        self._source = source
        self._failures = 0
        self._in_a_row = 0
        self.due = around.clock.monotonic()
        self.backing_off = False
        """Whether the last poll failed, so that `due` is the end of a back-off."""
        self.found_nothing = False
        """Whether the last poll was answered, and brought no job."""
        self.succeeded = False
        """Whether any poll of this session was answered."""

    async def poll(self, open_since: float, still_wanted: Callable[[], bool]) -> Job | None:
        """Ask once; None when there is no job, the poll failed in passing or was not wanted any more.

        A poll is late from the time that it is both due and allowed: ``open_since`` is when it last became that.
        ``still_wanted`` is asked when the poll had to wait for the session's renewal.

        Raises:
            SessionLost: the session is gone.
            StepFault: too many failures in a row, or the answer ends the session.
            StepRefused: the source said no.
        """
        self.found_nothing = False
        clock, emit = self._around.clock, self._around.events.emit
        started = clock.monotonic()
        late_s = started - (max(self.due, open_since))
        emit(PollStarted(self._node, late_s if late_s > 0 else 0.0))
        try:
            job = await self._source.claim(still_wanted)
        except Withdrawn as error:
            self.due = clock.monotonic()
            emit(PollFailed(self._node, self.due - started, str(error), 0.0))
            return None
        except TryLater as error:
            self._fail(started, error)
            return None
        now = clock.monotonic()
        self._failures = 0
        self.backing_off = False
        self.succeeded = True
        if job is None:
            self._in_a_row = 0
            self.found_nothing = True
            due = started + self._cycle_s()
            self.due = max(now, due)
            emit(PollEnded(self._node, now - started, None))
        else:
            self._in_a_row += 1
            self.due = now + self._pause_s()
            emit(PollEnded(self._node, now - started, job.job_id))
        return job

    def _pause_s(self) -> float:
        """How long to wait after a job: only where a burst ends, and then a small part of a cycle."""
        burst = self._around.policy.burst
        return self._cycle_s() * _TURN_SHARE if burst and self._in_a_row % burst == 0 else 0.0

    def wait_a_cycle(self) -> None:
        """Treat the last poll as one that brought nothing: a job that comes again and again must not set the pace."""
        self.due = self._around.clock.monotonic() + self._cycle_s()

    def _cycle_s(self) -> float:
        policy = self._around.policy
        jitter = policy.poll_cycle_s * policy.poll_jitter
        return policy.poll_cycle_s - jitter + 2 * jitter * self._around.random.random()

    def _fail(self, started: float, error: TryLater) -> None:
        policy = self._around.policy
        now = self._around.clock.monotonic()
        self._failures += 1
        self.backing_off = True
        if self._failures >= policy.poll_failures:
            self._around.events.emit(PollFailed(self._node, now - started, str(error), 0.0))
            raise StepFault(f"{self._failures} polls in a row failed, the last one: {error}") from error
        # A gateway in trouble must not hear from a fleet more often than one that is well.
        rest_s = started + self._cycle_s() - now
        wait_s = max(rest_s, policy.back_off.draw(self._failures, self._around.random, error.retry_after_s))
        self.due = now + wait_s
        self._around.events.emit(PollFailed(self._node, now - started, str(error), wait_s))
