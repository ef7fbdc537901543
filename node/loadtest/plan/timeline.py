"""The faults of a plan in the order of their times, each with the nodes that it befalls."""

from __future__ import annotations

from dataclasses import dataclass

from node.loadtest.plan.chance import Chance
from node.loadtest.plan.faults import FaultOfNodes, Kill, PlannedFault, end_s
from node.loadtest.plan.model import Plan
from node.loadtest.plan.population import Population


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A fault with its time in seconds from the start of the run.

    ``until_s`` is when it is over, for a kill when the nodes come back and None where they do not. ``nodes`` are the
    numbers of those that it befalls, ascending; empty where it befalls the gateway or all nodes.
    """

    at_s: float
    until_s: float | None
    fault: PlannedFault
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Death:
    node: int
    at_s: float
    until_s: float | None


def timeline(plan: Plan, population: Population) -> tuple[FaultEvent, ...]:
    """All faults; who is befallen depends on the plan and its seed alone.

    Nodes are drawn from those that run by the plan and were not killed before, exactly as many as the fault says.
    """
    deaths: list[_Death] = []
    events: list[FaultEvent] = []
    for number, planned in sorted(enumerate(plan.faults), key=lambda pair: pair[1].at_s):
        until_s = end_s(planned)
        if not isinstance(planned, FaultOfNodes):
            events.append(FaultEvent(planned.at_s, until_s, planned))
            continue
        dead = {death.node for death in deaths if _is_dead(death, planned.at_s, population)}
        alive = [node for node in range(population.target(planned.at_s)) if node not in dead]
        chance = Chance(plan.seed, f"fault/{number}")
        befallen = sorted(sorted(alive, key=chance.draw)[: planned.number_of(len(alive))])
        if isinstance(planned, Kill):
            deaths += [_Death(node, planned.at_s, until_s) for node in befallen]
        events.append(FaultEvent(planned.at_s, until_s, planned, tuple(befallen)))
    return tuple(events)


def _is_dead(death: _Death, at_s: float, population: Population) -> bool:
    """Whether it is not back yet; a node that the plan stopped in the meantime starts anew with the others."""
    if death.until_s is not None and death.until_s <= at_s:
        return False
    return population.target(at_s) > death.node and population.lowest(death.at_s, at_s) > death.node
