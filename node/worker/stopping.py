"""How the time of a stop is shared out."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.policies import StopPolicy


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


def drain_times(now: float, policy: StopPolicy) -> StopTimes:
    """A drain that begins now: its last part has a third each for keeping, sending, and leaving."""
    end, last_s = now + policy.drain_s, policy.leave_s
    return StopTimes(jobs=end - last_s, kept=end - last_s * 2 / 3, sent=end - last_s / 3, left=end - last_s / 5)


def abort_times(now: float, policy: StopPolicy) -> StopTimes:
    """An abort that begins now: nothing is waited for but the answers' being kept."""
    return StopTimes(jobs=now, kept=now + policy.abort_s * 2 / 5, sent=now, left=now)
