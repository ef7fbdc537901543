"""What a search for capacity is asked, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, Final

from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.capacity import Knee, Outcome
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scaling import Load

SCHEMA: Final = 1
"""The version of the document: it rises when a key goes or changes its meaning."""


class Find(Enum):
    """What is looked for."""

    JOBS = "jobs"
    """Jobs a second, with as many nodes as they need."""
    NODES = "nodes"
    """Nodes, each with its part of the plan's jobs."""


@dataclass(frozen=True, slots=True)
class CapacityOrder:
    """How to look: loads are in the unit of ``find``, ``precision`` is relative, ``step_s`` what of a step is judged.

    ``lowest`` None begins at the plan's own load and goes down where that is too much.
    """

    find: Find = Find.JOBS
    lowest: float | None = None
    highest: float = inf
    step_s: float = 20.0
    precision: float = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    """One load and what it came to. ``p99_s`` is of a job until it is accepted, with `Find.NODES` of a poll."""

    number: int
    load: Load
    outcome: Outcome
    verdict: Verdict
    offered: float | None = None
    accepted: float | None = None
    p99_s: float | None = None
    broken: tuple[str, ...] = ()
    """Everything that was missed, with what was found; of a void step why it is."""


def probed(step: Step, order: CapacityOrder) -> float:
    """The load of a step in the unit of what is looked for."""
    return step.load.jobs_per_s if order.find is Find.JOBS else float(step.load.nodes)


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """What a search found. ``ended`` says why it ended before its time, and is empty when it did not."""

    plan: Plan
    order: CapacityOrder
    gateway: str
    knee: Knee
    steps: tuple[Step, ...]
    ended: str = ""
    is_stopped: bool = False
    is_aborted: bool = False

    @property
    def broke_first(self) -> Step | None:
        """The step that says why the lowest load that was not met was not."""
        failed = [step for step in self.steps if not step.outcome.is_met and probed(step, self.order) == self.knee.over]
        return next((step for step in reversed(failed) if not step.outcome.is_void), failed[-1] if failed else None)

    @property
    def limit(self) -> str | None:
        """What kept the load from going higher: ``gateway``, ``generator`` or ``highest`` asked for; None: not known."""
        if self.knee.over is not None:
            return "generator" if self.knee.is_void_above else "gateway"
        return "highest" if self.knee.is_found else None

    def to_document(self) -> dict[str, Any]:
        """All of it for JSON; loads are in the unit of what was looked for, latencies seconds, what is unknown is null."""
        return {
            "schema": SCHEMA,
            "kind": "capacity",
            "plan": self.plan.model_dump(mode="json"),
            "gateway": self.gateway,
            "find": self.order.find.value,
            "step_s": self.order.step_s,
            "precision": self.order.precision,
            "knee": {
                "met": self.knee.under,
                "not_met": self.knee.over,
                "is_found": self.knee.is_found,
                "limit": self.limit,
                "broke_first": list(self.broke_first.broken) if self.broke_first else [],
            },
            "ended": self.ended,
            "steps": [
                {
                    "jobs_per_s": step.load.jobs_per_s,
                    "nodes": step.load.nodes,
                    "offered": step.offered,
                    "accepted": step.accepted,
                    "p99_s": step.p99_s,
                    "is_met": step.outcome.is_met,
                    "verdict": step.verdict.value,
                    "broken": list(step.broken),
                }
                for step in self.steps
            ],
        }
