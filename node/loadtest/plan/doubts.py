"""What a plan says that is possible but hardly meant, or more than a machine can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.loadtest.plan.faults import ExpireTokens, FaultOfNodes, Kill, Unreachable, end_s
from node.loadtest.plan.findings import Finding
from node.loadtest.plan.jobs import ReplayStream
from node.loadtest.plan.model import Engine, Plan
from node.loadtest.plan.population import Population
from node.loadtest.plan.quantities import duration_text, number_text, rate_text
from node.loadtest.plan.scenario import Scenario, Schedule

MANY_NODES: Final = 50_000
"""Nodes that one process on a machine of a few cores has been seen to hold."""

MANY_REQUESTS_PER_S: Final = 20_000.0
"""Requests a second that one process has been seen to make."""

_REQUESTS_A_JOB: Final = 3
_SAMPLES: Final = 200
_STEADY_S: Final = 5.0
_BUSY: Final = 0.95


def doubts(scenario: Scenario) -> Iterator[Finding]:
    """What the plan says is possible but hardly meant, or more than a machine of a few cores can do."""
    plan = scenario.plan
    schedule = Schedule(scenario)
    yield from _sizes(plan, schedule)
    yield from _capacity(plan, schedule)
    yield from _fault_targets(plan, schedule.population)
    yield from _unwaited(plan)
    for place, stream in enumerate(plan.jobs.arrivals):
        if isinstance(stream, ReplayStream):
            end_s = stream.end_s(plan.duration_s)
            late = sum(stream.at_s + job.at_s / stream.speed >= end_s for job in scenario.traces[stream.file])
            if late:
                problem = f"{late} jobs of the trace come after the end of their stream and are left out"
                yield Finding(("jobs", "arrivals", place), problem, "lengthen the plan, or raise the speed")


def doubts_elsewhere(plan: Plan) -> Iterator[Finding]:
    """What the plan says that goes with the sandbox, and not with another gateway."""
    for place, threshold in enumerate(plan.thresholds):
        if "lease" in threshold.names and plan.gateway.lease_s is None:
            problem = f"{threshold} cannot be judged where the lease is not known"
            yield Finding(("thresholds", place), problem, "write the lease of your gateway as lease in [gateway]")
    for place, planned in enumerate(plan.faults):
        if isinstance(planned, ExpireTokens):
            yield Finding(("faults", place), "the sandbox alone can be told to", "it is left out")


def _sizes(plan: Plan, schedule: Schedule) -> Iterator[Finding]:
    nodes = schedule.population.peak
    if nodes > MANY_NODES:
        problem = f"{nodes} nodes are more than a machine of a few cores has been seen to hold ({MANY_NODES})"
        yield Finding(("nodes", "stages"), problem, "spread them over processes or machines, or expect void verdicts")
    polls = nodes / plan.nodes.poll_cycle_s
    requests = polls + _REQUESTS_A_JOB * schedule.jobs.peak_per_s
    if requests > MANY_REQUESTS_PER_S:
        problem = f"about {rate_text(requests)} requests are more than one process makes"
        remedy = f"it makes about {rate_text(MANY_REQUESTS_PER_S)}: use several, a longer poll_cycle or fewer jobs"
        yield Finding(("nodes",), problem, remedy)


def _capacity(plan: Plan, schedule: Schedule) -> Iterator[Finding]:
    """Whether steady arrivals are more than the nodes can do: a queue that grows tells little of a gateway."""
    if not isinstance(plan.engine, Engine) or not plan.jobs.arrivals:
        return
    service_s = plan.engine.mean_s
    if service_s > plan.job_deadline_s:
        problem = f"a job takes about {duration_text(service_s)}, longer than its deadline"
        yield Finding(("engine",), f"{problem} ({duration_text(plan.job_deadline_s)})", "make the engine faster")
        return
    worst = max(_load(plan, schedule), key=lambda load: load[1] * service_s - _BUSY * load[2], default=(0.0, 0.0, 0))
    at_s, rate, slots = worst
    if rate * service_s > _BUSY * slots:
        able = slots / service_s
        problem = (
            f"at {duration_text(at_s)} {rate_text(rate)} jobs arrive, and {slots} slots do"
            f" about {rate_text(able)}: the queue will grow"
        )
        yield Finding(("jobs",), problem, "fewer jobs, more nodes or slots, or a faster engine; or this is meant")


def _load(plan: Plan, schedule: Schedule) -> Iterator[tuple[float, float, int]]:
    """Times within the plan, each with the jobs a second that arrive steadily and the slots that there are."""
    steady = [segment for segment in schedule.jobs.segments if segment.end_s - segment.start_s >= _STEADY_S]
    for step in range(_SAMPLES):
        at_s = plan.duration_s * (step + 0.5) / _SAMPLES
        rate = sum(segment.value(at_s) for segment in steady if segment.start_s <= at_s < segment.end_s)
        yield at_s, rate, schedule.population.target(at_s) * plan.nodes.slots


def _fault_targets(plan: Plan, population: Population) -> Iterator[Finding]:
    for place, planned in enumerate(plan.faults):
        running = population.target(planned.at_s)
        if not running:
            yield Finding(("faults", place), "no node runs when it comes", "let it come later")
        elif isinstance(planned, FaultOfNodes) and planned.count is not None and planned.count > running:
            problem = f"{number_text(planned.count)} nodes are more than run then ({running})"
            yield Finding(("faults", place, "count"), problem, "it befalls all of them")
        elif isinstance(planned, Kill) and (back_s := end_s(planned)) is not None and back_s > plan.duration_s:
            problem = "the nodes come back after the plan's end, which is not at all"
            yield Finding(("faults", place, "restart_after"), problem, "shorten it, or leave it out")


def _unwaited(plan: Plan) -> Iterator[Finding]:
    if plan.needs_redelivery and plan.settle_s is not None and plan.settle_s < plan.sandbox.lease_s:
        problem = (
            f"jobs of killed or silent nodes come back when their lease of {duration_text(plan.sandbox.lease_s)} ends,"
            f" and settle waits {duration_text(plan.settle_s)}"
        )
        yield Finding(("settle",), problem, "make settle longer than the lease, or jobs may seem orphaned")
    down_s = max((planned.for_s for planned in plan.faults if isinstance(planned, Unreachable)), default=0.0)
    if down_s > plan.shortest_lease_s:
        problem = "the gateway is unreachable for longer than a lease: every job under way is given to another node"
        yield Finding(("faults",), problem, "shorten it, or this is meant")
