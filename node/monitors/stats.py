"""Counts that `NodeMonitor` keeps."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from node.domain.ids import NodeId
from node.domain.presence import Presence
from node.domain.results import Points
from node.domain.secret import shortened
from node.domain.states import Hold, Life
from node.monitors.snapshot import JobCounts, NodeView

MAX_ERROR_CHARS: Final = 200
"""How much of an error is kept."""


class Tally:
    """Jobs and results by what came of them, of one node or of all: the counters of `JobCounts`."""

    __slots__ = (
        "accepted",
        "already",
        "by_executor",
        "failed",
        "received",
        "refused",
        "skipped",
        "succeeded",
        "unkept",
    )

    def __init__(self) -> None:
        self.received = 0
        self.succeeded = 0
        self.failed = 0
        self.skipped = 0
        self.accepted = 0
        self.already = 0
        self.refused = 0
        self.unkept = 0
        self.by_executor: dict[str, int] | None = None

    def succeed(self, executor: str) -> None:
        """Count a job that this executor did."""
        self.succeeded += 1
        if self.by_executor is None:
            self.by_executor = {}
        self.by_executor[executor] = self.by_executor.get(executor, 0) + 1

    def counts(self) -> JobCounts:
        """The counts at this moment."""
        return JobCounts(
            received=self.received,
            answered=self.succeeded + self.failed,
            succeeded=self.succeeded,
            failed=self.failed,
            skipped=self.skipped,
            accepted=self.accepted,
            already=self.already,
            refused=self.refused,
            unkept=self.unkept,
            by_executor=MappingProxyType(dict(self.by_executor or {})),
        )


class NodeStats:
    """What is known of one node: what `NodeView` is made of."""

    __slots__ = (
        "_job_s",
        "holds",
        "job_max_s",
        "jobs_running",
        "last_activity_at",
        "last_error",
        "life",
        "node",
        "points",
        "polling",
        "presence",
        "proxy",
        "tally",
    )

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.life = Life.NEW
        self.holds = Hold.NOTHING
        self.polling = False
        self.jobs_running = 0
        self.presence = Presence.INITIALIZING
        self.tally = Tally()
        self._job_s = 0.0
        self.job_max_s = 0.0
        self.points: Points | None = None
        self.proxy = ""
        self.last_activity_at: float | None = None
        self.last_error = ""

    def add_job_time(self, took_s: float) -> None:
        """Count the time of a job, in seconds, that has ended."""
        self._job_s += took_s
        self.job_max_s = max(self.job_max_s, took_s)

    def note_error(self, text: str) -> None:
        """Keep the first `MAX_ERROR_CHARS` characters of what went wrong last."""
        self.last_error = shortened(text, MAX_ERROR_CHARS)

    def view(self) -> NodeView:
        """The node at this moment."""
        jobs = self.tally.counts()
        return NodeView(
            node=self.node,
            life=self.life,
            presence=self.presence,
            holds=self.holds,
            jobs_running=self.jobs_running,
            jobs=jobs,
            job_mean_s=self._job_s / jobs.answered if jobs.answered else 0.0,
            job_max_s=self.job_max_s,
            points=self.points,
            proxy=self.proxy,
            last_activity_at=self.last_activity_at,
            last_error=self.last_error,
        )


class RateWindow:
    """How often something happened in the last ``window_s`` seconds, in buckets of one; ``now`` is the loop's time."""

    __slots__ = ("_counts", "_second", "_since")

    def __init__(self, now: float, window_s: int = 30) -> None:
        self._counts = [0] * window_s
        self._since = now
        self._second = int(now)

    def mark(self, now: float) -> None:
        """It happened now; time does not run backwards."""
        second = int(now)
        if second != self._second:
            self._advance(second)
        self._counts[second % len(self._counts)] += 1

    def per_second(self, now: float) -> float:
        """Events a second, over the window, or over the time since the start (1 s at least) while that is shorter."""
        self._advance(int(now))
        window = len(self._counts)
        span = min(now - self._since, now - int(now) + window - 1)
        return sum(self._counts) / max(span, 1.0)

    def _advance(self, second: int) -> None:
        window = len(self._counts)
        for passed in range(max(self._second, second - window) + 1, second + 1):
            self._counts[passed % window] = 0
        self._second = max(second, self._second)
