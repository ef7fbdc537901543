"""A plan held at one steady load, for a search of how much a gateway takes: nodes first, then jobs, and nothing goes wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import ceil
from typing import Final

from node.loadtest.plan.curve import Segment
from node.loadtest.plan.jobs import ConstantStream, Pattern, PoissonStream, ReplayStream, pattern_of, rate_segment
from node.loadtest.plan.model import Engine, Plan
from node.loadtest.plan.nodes import Ramp
from node.loadtest.plan.population import Population

LEAST_LEVEL_S: Final = 5.0
"""Arrivals that last for less are a burst, and no level."""

_LEAST_LEAD_S: Final = 1.0
_NODES_PER_S: Final = 150.0
_LEAST_WARM_S: Final = 3.0
_UNKNOWN_SERVICE_S: Final = 5.0
_SPARE: Final = 1.5
"""Slots for each job under way: with fewer the nodes would give way, and not the gateway."""


@dataclass(frozen=True, slots=True)
class Height:
    """The most nodes of a plan and the most jobs a second that arrive steadily, with the share of each pattern in these.

    Traces and bursts are no steady arrivals: of a plan without any ``jobs_per_s`` is 0.
    """

    nodes: int
    jobs_per_s: float
    shares: tuple[tuple[Pattern, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What a plan is to be held at."""

    jobs_per_s: float
    nodes: int


@dataclass(frozen=True, slots=True)
class Timing:
    """The parts of a run at one load, in seconds: nodes come, jobs come until all is steady, and the judged rest."""

    lead_s: float
    warm_s: float
    judged_s: float

    @property
    def duration_s(self) -> float:
        """All of it."""
        return self.lead_s + self.warm_s + self.judged_s


def height_of(plan: Plan) -> Height:
    """The height that a plan reaches, jobs and nodes each at their own time."""
    nodes = Population(plan.nodes.curve(plan.duration_s)).peak
    lasting: list[tuple[Pattern, Segment]] = []
    for stream in plan.jobs.arrivals:
        if isinstance(stream, ReplayStream) or stream.end_s(plan.duration_s) - stream.at_s < LEAST_LEVEL_S:
            continue
        lasting.append((pattern_of(stream), rate_segment(stream, plan.duration_s)))
    edges = sorted({edge for _, segment in lasting for edge in (segment.start_s, segment.end_s)})
    best: dict[Pattern, float] = {}
    for begin_s, end_s in itertools.pairwise(edges):
        within = [one for one in lasting if one[1].start_s <= begin_s and end_s <= one[1].end_s]
        for at_s in (begin_s, end_s):
            rates: dict[Pattern, float] = {}
            for pattern, segment in within:
                rates[pattern] = rates.get(pattern, 0.0) + segment.value(at_s)
            best = max(best, rates, key=lambda one: sum(one.values()))
    total = sum(best.values())
    return Height(nodes, total, tuple((pattern, rate / total) for pattern, rate in best.items() if rate))


def nodes_for(plan: Plan, jobs_per_s: float) -> int:
    """As many nodes as the plan has at most, or more where these jobs need them; of a real engine nothing is known."""
    service_s = plan.engine.mean_s if isinstance(plan.engine, Engine) else 0.0
    return max(height_of(plan).nodes, ceil(round(_SPARE * jobs_per_s * service_s / plan.nodes.slots, 6)))


def timing(plan: Plan, nodes: int, judged_s: float) -> Timing:
    """How long a run at one load takes until it may be judged: nodes come one by one, and jobs are done twice over."""
    service_s = plan.engine.mean_s if isinstance(plan.engine, Engine) else _UNKNOWN_SERVICE_S
    return Timing(max(_LEAST_LEAD_S, nodes / _NODES_PER_S), max(_LEAST_WARM_S, 2 * service_s), judged_s)


def held_at(plan: Plan, load: Load, judged_s: float, number: int = 0) -> Plan:
    """The plan at one load from end to end: without its faults, and judged when it is warm.

    ``number`` tells repetitions apart, so that chance falls differently in each. It settles for as long as a backlog
    may take that grew all the while.
    """
    parts, height = timing(plan, load.nodes, judged_s), height_of(plan)
    arrivals = tuple(
        (PoissonStream(kind="poisson", rate_per_s=share * load.jobs_per_s, at_s=parts.lead_s))
        if pattern == "poisson"
        else ConstantStream(kind="constant", rate_per_s=share * load.jobs_per_s, at_s=parts.lead_s)
        for pattern, share in height.shares
        if load.jobs_per_s
    )
    stages = (Ramp(kind="ramp", to=load.nodes, over_s=0.8 * parts.lead_s),)
    return plan.model_copy(
        update={
            "duration_s": parts.duration_s,
            "warm_up_s": parts.lead_s + parts.warm_s,
            "settle_s": 5 * parts.duration_s + plan.job_deadline_s,
            "seed": plan.seed + number,
            "faults": (),
            "nodes": plan.nodes.model_copy(update={"stages": stages}),
            "jobs": plan.jobs.model_copy(update={"arrivals": arrivals}),
        }
    )
