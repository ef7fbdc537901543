"""A plan with the files that it names, and the schedule that follows from both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from node.domain.errors import InputFault
from node.loadtest.plan.arrivals import Arrival, JobArrivals
from node.loadtest.plan.model import Plan
from node.loadtest.plan.nodes import OfferDraw
from node.loadtest.plan.population import NodeOrder, Population
from node.loadtest.plan.timeline import FaultEvent, timeline
from node.loadtest.plan.trace import TraceJob


@dataclass(frozen=True, slots=True)
class Scenario:
    """What `node.loadtest.plan.reading.read_scenario` makes of a file.

    ``warnings`` keep nobody from running it; ``warnings_elsewhere`` are those for a gateway that is not the sandbox.
    """

    plan: Plan
    traces: Mapping[Path, tuple[TraceJob, ...]] = field(default_factory=dict)
    warnings: tuple[InputFault, ...] = ()
    warnings_elsewhere: tuple[InputFault, ...] = ()


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` parts of a run, counted from 0; parts are disjoint and together the whole.

    Raises:
        ValueError: there is no such part.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"there is no part {self.index} of {self.count}")

    def has(self, number: int) -> bool:
        """Whether the node or job of this number is in this part."""
        return number % self.count == self.index


WHOLE = Shard()


class Schedule:
    """What happens when: nodes, jobs and faults of a scenario, or of one shard of it. All times are from the run's start.

    It depends on the plan with its seed, and on the shard, alone. Iterators begin anew each time.
    """

    def __init__(self, scenario: Scenario, shard: Shard = WHOLE) -> None:
        plan = scenario.plan
        self.plan = plan
        self.shard = shard
        self.population = Population(plan.nodes.curve(plan.duration_s))
        self.jobs = JobArrivals(plan.jobs, duration_s=plan.duration_s, seed=plan.seed, traces=scenario.traces)
        self._offers = OfferDraw(plan.nodes, plan.seed)

    def target(self, at_s: float) -> int:
        """How many nodes of the shard there are to be at a time, faults apart."""
        whole = self.population.target(at_s)
        return len(range(self.shard.index, whole, self.shard.count))

    def orders(self) -> Iterator[NodeOrder]:
        """The orders to the shard's nodes, in the order of their times."""
        return (order for order in self.population.orders() if self.shard.has(order.node))

    def models_of(self, node: int) -> tuple[str, ...]:
        """The models that the node of this number offers."""
        return self._offers.of(node)

    @cached_property
    def all_models(self) -> set[str]:
        """The models that any node of the whole run offers."""
        return {model for node in range(self.population.peak) for model in self.models_of(node)}

    @property
    def size(self) -> int:
        """The most nodes that the shard has at a time."""
        return len(range(self.shard.index, self.population.peak, self.shard.count))

    def arrivals(self) -> Iterator[Arrival]:
        """The shard's jobs, in the order of their times."""
        return self.jobs.of_shard(self.shard.index, self.shard.count)

    @cached_property
    def faults(self) -> tuple[FaultEvent, ...]:
        """The faults in the order of their times, each with those of the shard's nodes that it befalls, perhaps none."""
        events = timeline(self.plan, self.population)
        return tuple(
            replace(event, nodes=tuple(node for node in event.nodes if self.shard.has(node))) for event in events
        )
