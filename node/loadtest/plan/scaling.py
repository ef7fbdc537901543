"""The same plan with more or less of it, for a search of how much a gateway takes."""

from __future__ import annotations

from typing import assert_never

from node.loadtest.plan.jobs import Arrivals, BurstStream, ConstantStream, PoissonStream, RampStream, ReplayStream
from node.loadtest.plan.model import Plan
from node.loadtest.plan.nodes import Hold, Ramp, Spike, Stage, Storm


def with_jobs(plan: Plan, factor: float) -> Plan:
    """The plan with its rates and bursts of jobs times a factor above 0; a trace is replayed so much faster."""
    arrivals = tuple(_busier(stream, factor) for stream in plan.jobs.arrivals)
    return plan.model_copy(update={"jobs": plan.jobs.model_copy(update={"arrivals": arrivals})})


def with_nodes(plan: Plan, factor: float) -> Plan:
    """The plan with the numbers of its stages times a factor above 0, rounded; where there are nodes there stays one."""
    stages = tuple(_larger(stage, factor) for stage in plan.nodes.stages)
    return plan.model_copy(update={"nodes": plan.nodes.model_copy(update={"stages": stages})})


def _busier(stream: Arrivals, factor: float) -> Arrivals:
    match stream:
        case ConstantStream() | PoissonStream():
            return stream.model_copy(update={"rate_per_s": stream.rate_per_s * factor})
        case RampStream():
            rates = {"from_per_s": stream.from_per_s * factor, "to_per_s": stream.to_per_s * factor}
            return stream.model_copy(update=rates)
        case BurstStream():
            return stream.model_copy(update={"count": max(1, round(stream.count * factor))})
        case ReplayStream():
            return stream.model_copy(update={"speed": stream.speed * factor})
        case _:
            assert_never(stream)


def _larger(stage: Stage, factor: float) -> Stage:
    match stage:
        case Hold():
            return stage
        case Ramp() | Spike() | Storm():
            return stage.model_copy(update={"to": max(round(stage.to * factor), min(1, stage.to))})
        case _:
            assert_never(stage)
