"""How fast a gateway is allowed to be: for a load test that must find out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SLACK_S: Final = 0.1
"""Jobs that were not handed out in time may be made up for within this time."""


class Limits:
    """A rate of jobs handed out, and a time that every request takes longer; both may change while the gateway runs.

    With a rate r, at most ``r * (t + SLACK_S) + 1`` jobs are handed out in any t seconds, and as evenly as polls come.
    A poll above the rate is told that there is no job, and its node waits out its cycle: the rate is reached where the
    nodes poll more often than that.
    """

    def __init__(self, rate_per_s: float | None = None, latency_s: float = 0.0) -> None:
        self.rate_per_s = rate_per_s
        self.latency_s = latency_s
        self._next_at = 0.0

    def take(self, now: float) -> bool:
        """Whether a job may be handed out now, in monotonic seconds; what was taken and not used is to be given back."""
        rate = self.rate_per_s
        if rate is None:
            return True
        if rate <= 0 or self._next_at > now + SLACK_S:
            return False
        self._next_at = max(self._next_at, now) + 1 / rate
        return True

    def give_back(self) -> None:
        """There was no job to hand out."""
        if self.rate_per_s:
            self._next_at -= 1 / self.rate_per_s

    def report(self) -> Mapping[str, float | None]:
        """Both."""
        return {"rate_per_s": self.rate_per_s, "latency_s": self.latency_s}
