"""What cannot be meant in a plan whose values are each right by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from node.domain.toml_lines import KeyPath
from node.loadtest.plan.faults import Kill, end_s
from node.loadtest.plan.findings import Finding
from node.loadtest.plan.jobs import ReplayStream
from node.loadtest.plan.model import Plan
from node.loadtest.plan.quantities import duration_text
from node.loadtest.plan.trace import TraceJob


def mistakes(plan: Plan) -> Iterator[Finding]:
    """What makes the plan one that cannot be run as it is meant."""
    yield from _times(plan)
    yield from _fault_times(plan)
    yield from _leases(plan)
    unoffered = [(place, model) for place, model in enumerate(plan.jobs.models) if model.name not in plan.nodes.models]
    for place, model in unoffered:
        offered = ", ".join(sorted(plan.nodes.models))
        problem = f"jobs ask for {model.name}, which no node offers"
        yield Finding(
            ("jobs", "models", place, "name"), problem, f"add it to an offer of [nodes], or ask for {offered}"
        )


def trace_mistakes(plan: Plan, traces: Mapping[Path, tuple[TraceJob, ...]]) -> Iterator[Finding]:
    """The same of the jobs that are replayed."""
    for place, stream in enumerate(plan.jobs.arrivals):
        if isinstance(stream, ReplayStream):
            asked = {job.model for job in traces[stream.file]} - plan.nodes.models
            if asked:
                problem = f"the trace asks for {', '.join(sorted(asked)[:3])}, which no node offers"
                yield Finding(("jobs", "arrivals", place, "file"), problem, "add it to an offer of [nodes]")


def _times(plan: Plan) -> Iterator[Finding]:
    whole = duration_text(plan.duration_s)
    if plan.nodes.stages_s > plan.duration_s * (1 + 1e-9):
        problem = f"the stages take {duration_text(plan.nodes.stages_s)}, longer than the plan ({whole})"
        yield Finding(("nodes", "stages"), problem, "shorten a stage, or raise duration")
    if plan.warm_up_s is not None and plan.warm_up_s >= plan.duration_s:
        yield Finding(("warm_up",), f"nothing is left after the warm-up of a plan of {whole}", "shorten it")
    for place, stream in enumerate(plan.jobs.arrivals):
        path: KeyPath = ("jobs", "arrivals", place)
        length_s = stream.end_s(float("inf")) - stream.at_s
        if stream.at_s >= plan.duration_s:
            yield Finding((*path, "at"), f"the arrivals begin after the plan's end ({whole})", "let them begin earlier")
        elif length_s < float("inf") and stream.at_s + length_s > plan.duration_s:
            yield Finding((*path, "for"), f"the arrivals end after the plan's end ({whole})", "shorten them")


def _fault_times(plan: Plan) -> Iterator[Finding]:
    whole = duration_text(plan.duration_s)
    for place, planned in enumerate(plan.faults):
        over_s = end_s(planned)
        if planned.at_s >= plan.duration_s:
            yield Finding(("faults", place, "at"), f"it comes after the plan's end ({whole})", "let it come earlier")
        elif not isinstance(planned, Kill) and over_s is not None and over_s > plan.duration_s:
            yield Finding(("faults", place, "for"), f"it goes on after the plan's end ({whole})", "shorten it")


def _leases(plan: Plan) -> Iterator[Finding]:
    lease_s = plan.shortest_lease_s
    needed_s = plan.job_deadline_s + 2 * plan.result_timeout_s
    if needed_s >= lease_s:
        key = "result_timeout" if plan.nodes.job_deadline_s is None else "job_deadline"
        problem = (
            f"a job's deadline ({duration_text(plan.job_deadline_s)}) and two time-outs of its result"
            f" ({duration_text(plan.result_timeout_s)} each) do not fit into a lease of {duration_text(lease_s)}"
        )
        yield Finding(
            ("nodes", key), problem, "leave both out, and they are fitted to the lease, or lengthen the lease"
        )
