"""What a run came to, as figures: for the closing table and for ``--summary``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.domain.states import Life
from node.monitors.histogram import Latency
from node.monitors.snapshot import FleetView, NodeView

SCHEMA: Final = 1
"""The version of the summary's form: it rises when a key changes its meaning or goes."""

_MADE_UP: Final = ("stored", "synthetic")
"""The executors behind which there is no engine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that has ended.

    ``ledger`` are the sums of the gateway's own ledger, None where it tells none; ``unsent`` and ``dead`` are
    the results and dead letters left in the outbox, ``orphans`` those of nodes that are not on the roster.
    ``aborted`` tells that the run was ended at once.
    """

    gateway: str
    view: FleetView
    nodes: tuple[NodeView, ...]
    ledger: Mapping[str, Any] | None
    unsent: int
    dead: int
    orphans: int
    aborted: bool

    @property
    def lost(self) -> int | None:
        """Jobs claimed, never answered and not given to another node, by the gateway's ledger; None: unknown."""
        return None if self.ledger is None else int(self.ledger["lost"])

    @property
    def all_refused(self) -> bool:
        """Whether not one node could be of use, since every identity was refused."""
        return self.view.total > 0 and self.view.by_life[Life.FAILED] == self.view.total


def summarize(outcome: Outcome) -> dict[str, Any]:
    """The summary as JSON has it; latencies in ms, ``duration_s`` in seconds, unknown figures null."""
    view, jobs = outcome.view, outcome.view.jobs
    by_executor = jobs.by_executor
    return {
        "schema": SCHEMA,
        "gateway": outcome.gateway,
        "duration_s": round(view.uptime_s, 3),
        "aborted": outcome.aborted,
        "nodes": {
            "total": view.total,
            "by_state": {life.value: count for life, count in view.by_life.items() if count},
            "with_jobs": sum(1 for node in outcome.nodes if node.jobs.succeeded),
        },
        "jobs": {
            "received": jobs.received,
            "answered": jobs.answered,
            "succeeded": jobs.succeeded,
            "failed": jobs.failed,
            "stored": by_executor.get("stored", 0),
            "engine": sum(count for name, count in by_executor.items() if name not in _MADE_UP),
            "synthetic": by_executor.get("synthetic", 0),
            "skipped": jobs.skipped,
            "accepted": jobs.accepted,
            "already": jobs.already,
            "unsent": outcome.unsent,
            "dead": outcome.dead,
            "unkept": jobs.unkept,
            "lost": outcome.lost,
        },
        "polls": view.polls,
        "polls_failed": view.polls_failed,
        "latency_ms": {
            "poll": _milliseconds(view.poll),
            "poll_lateness": _milliseconds(view.lateness),
            "job": _milliseconds(view.job),
            "result": _milliseconds(view.result),
        },
        "points": view.points.points,
        "crashes": view.crashes,
        "ledger": None if outcome.ledger is None else dict(outcome.ledger),
    }


def _milliseconds(latency: Latency) -> dict[str, float]:
    return {
        "p50": round(latency.p50_s * 1000, 3),
        "p90": round(latency.p90_s * 1000, 3),
        "p99": round(latency.p99_s * 1000, 3),
        "max": round(latency.max_s * 1000, 3),
    }
