"""How a node is told to stop, and how the time of that is shared out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.domain.policies import StopPolicy
from node.ports.clock import Clock
from node.runtime.signals import Bell
from node.worker.job_runner import JobRunner


@dataclass(frozen=True, slots=True)
class StopTimes:
    """When each part of a stop must be over, in the loop's time."""

    jobs: float
    """Open jobs run on until then; those that have not ended are answered with an error."""
    kept: float
    """The results of all jobs are in the outbox."""
    sent: float
    """What waits in the outbox has been sent, as far as it could be."""
    left: float
    """The goodbye is said. What little is left after it is for closing connections."""


Part: TypeAlias = Callable[[StopTimes], float]


def drain_times(now: float, policy: StopPolicy) -> StopTimes:
    """A drain that begins now: its last part has a third each for keeping, sending, and leaving."""
    end, last_s = now + policy.drain_s, policy.leave_s
    return StopTimes(jobs=end - last_s, kept=end - last_s * 2 / 3, sent=end - last_s / 3, left=end - last_s / 5)


def abort_times(now: float, policy: StopPolicy) -> StopTimes:
    """An abort that begins now: nothing is waited for but the answers' being kept."""
    return StopTimes(jobs=now, kept=now + policy.abort_s * 2 / 5, sent=now, left=now)


class Stop:
    """Whether a node has been told to stop, and what time that leaves. A drain can become an abort."""

    __slots__ = ("_clock", "_policy", "_times", "is_abort")

    def __init__(self, clock: Clock, policy: StopPolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._times: StopTimes | None = None
        self.is_abort = False

    @property
    def is_on(self) -> bool:
        """Whether the node has been told."""
        return self._times is not None

    def drain(self) -> float:
        """Begin a drain; seconds that open jobs have."""
        now = self._clock.monotonic()
        self._times = drain_times(now, self._policy)
        return self._times.jobs - now

    def abort(self) -> None:
        """Begin an abort."""
        self.is_abort = True
        self._times = abort_times(self._clock.monotonic(), self._policy)

    def left_s(self, part: Part) -> float | None:
        """Seconds until this part must be over, below 0 when it should have been; None while nobody stops the node."""
        return None if self._times is None else part(self._times) - self._clock.monotonic()


async def finish_jobs(runner: JobRunner, stop: Stop, bell: Bell) -> bool:
    """Let open jobs end, and answer those with an error to which a stop leaves no time; True if there were none.

    ``bell`` rings when a job has ended and when the node is told to stop.
    """
    finished = await _idle(runner, stop, bell, lambda times: times.jobs)
    if not finished:
        runner.stop("the node is stopping")
        await _idle(runner, stop, bell, lambda times: times.kept)
    return finished


async def _idle(runner: JobRunner, stop: Stop, bell: Bell, part: Part) -> bool:
    """Wait until no job is open; False when this part of a stop, which may come meanwhile, is over first."""
    while runner.busy:
        left_s = stop.left_s(part)
        if left_s is not None and left_s <= 0:
            return False
        await bell.wait(left_s)
    return True
