"""A fleet at one moment: frozen values for the dashboard, the periodic report and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.domain.ids import NodeId
from node.domain.presence import Presence
from node.domain.results import Points
from node.domain.states import Hold, Life
from node.monitors.histogram import Latency


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Jobs since the start; no number ever falls.

    ``received`` were started on, ``answered`` have a result (``succeeded`` + ``failed``), ``skipped`` had been
    received before. Of the results, ``accepted`` are with the gateway (``already`` of them were there before) and
    ``refused`` are dead letters, expired ones included; some of both may come from an earlier run's outbox.
    ``unkept`` jobs ended without a result that could be kept. ``by_executor`` counts what succeeded.
    """

    received: int
    answered: int
    succeeded: int
    failed: int
    skipped: int
    accepted: int
    already: int
    refused: int
    unkept: int
    by_executor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node, by what was last heard of it.

    Times of jobs are from receipt to result, 0 before the first one. ``points`` is None before the gateway told
    any, ``proxy`` (an address without credentials) empty while none was assigned, ``last_error`` the beginning of
    what went wrong last, empty while nothing did. ``last_activity_at`` is Unix time in seconds, None before the
    first event.
    """

    node: NodeId
    life: Life
    presence: Presence
    holds: Hold
    jobs_running: int
    jobs: JobCounts
    job_mean_s: float
    job_max_s: float
    points: Points | None
    proxy: str
    last_activity_at: float | None
    last_error: str


@dataclass(frozen=True, slots=True)
class Happening:
    """A sentence about an event, at Unix time ``at`` in seconds; ``more`` of its kind came right after it."""

    at: float
    text: str
    is_trouble: bool
    more: int = 0

    def __str__(self) -> str:
        return f"{self.text} (and {self.more:,} more)" if self.more else self.text


@dataclass(frozen=True, slots=True)
class FleetView:
    """All nodes together, at Unix time ``at`` in seconds, ``uptime_s`` after the monitor was made.

    Rates are over the last half minute: of jobs with a result, and of polls, failed ones included. Latencies are
    over the whole time: ``poll`` of answered polls, ``lateness`` of the starts of all polls after they were due,
    ``job`` from receipt to result, ``result`` from receipt to acceptance. ``polls`` counts those that were answered,
    ``polls_failed`` those that failed and did not end the session. ``points`` is the sum of what each node was last
    told. ``auth`` is the auth circuit's state ("closed": healthy). ``proxies_good`` and ``proxies_bad`` are addresses
    by their last check or report. ``engines`` tells which can be reached. ``happenings`` are oldest first.
    """

    at: float
    uptime_s: float
    total: int
    by_life: Mapping[Life, int]
    by_presence: Mapping[Presence, int]
    jobs: JobCounts
    jobs_running: int
    jobs_per_s: float
    polls: int
    polls_failed: int
    polls_per_s: float
    poll: Latency
    lateness: Latency
    job: Latency
    result: Latency
    points: Points
    auth: str
    auth_reason: str
    proxies_good: int
    proxies_bad: int
    engines: Mapping[str, bool]
    crashes: int
    happenings: tuple[Happening, ...]
