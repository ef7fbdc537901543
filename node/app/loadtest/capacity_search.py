"""The search for the most that a gateway takes: the same plan held at one load after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol, TypeAlias

from node.app.loadtest.capacity_result import CapacityOrder, CapacityResult, Find, Step
from node.app.loadtest.load_test import LoadDisplay
from node.domain.errors import InputFault, InvalidInput, TransportError
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.capacity import Knee, Outcome, Probe, Search, known, seek
from node.loadtest.figures.figures import Measure
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scaling import Height, Load, height_of, held_at, nodes_for
from node.loadtest.thresholds.threshold import Outcome as Judgement
from node.loadtest.thresholds.threshold import State

_LEAST_DONE: Final = 0.95
"""Of the jobs that are offered: where less is done the queue grows, and what is measured says nothing that lasts."""

_LOWEST: Final = 1 / 64
"""Of the plan's own load: what a search that was told no lowest load goes down to."""


class CapacityDisplay(LoadDisplay, Protocol):
    """What shows a search to people while it lasts, and each of its steps as any load test."""

    def begin_step(self, number: int, load: Load) -> None:
        """A step begins."""
        ...

    def end_step(self, step: Step) -> None:
        """A step is over."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """A step that has ended; ``outcome`` is None where it was ended at once."""

    outcome: LoadOutcome | None
    is_stopped: bool = False


RunPlan: TypeAlias = Callable[[Plan], Awaitable[Ran]]
"""Runs a plan to its end, on the same gateway each time."""


@dataclass(frozen=True, slots=True)
class CapacitySearch:
    """The search itself, whoever runs the steps. ``most_nodes`` is how many there are to be had, None: any number."""

    plan: Plan
    order: CapacityOrder
    display: CapacityDisplay
    most_nodes: int | None = None

    @property
    def height(self) -> Height:
        """What the plan itself comes to."""
        return height_of(self.plan)

    def search(self) -> Search:
        """The bounds of the search.

        Raises:
            InvalidInput: the plan has nothing to scale, or the bounds exclude each other.
        """
        is_jobs = self.order.find is Find.JOBS
        own = self.height.jobs_per_s if is_jobs else float(self.height.nodes)
        if not own:
            what = "jobs that arrive steadily" if is_jobs else "nodes"
            remedy = "give it arrivals of kind constant or poisson, for 5 s at least" if is_jobs else "give it a stage"
            raise InvalidInput([InputFault("plan", f"it has no {what}, so there is nothing to scale", remedy)])
        most = min(self.order.highest, inf if is_jobs or self.most_nodes is None else self.most_nodes)
        lowest = own * _LOWEST if self.order.lowest is None else self.order.lowest
        if lowest > most:
            raise InvalidInput([InputFault("--to", f"{most:g} is below the lowest load, {lowest:g}", "raise it")])
        start = min(own, most) if self.order.lowest is None else lowest
        return Search(start, most, lowest, self.order.precision, is_whole=not is_jobs)

    async def run(self, run: RunPlan) -> CapacityResult:
        """Look until the knee is found, or a step is stopped.

        Raises:
            InvalidInput: see `search`.
            TransportError: the gateway did not even answer in the first step.
        """
        search = self.search()
        seeking, probes, steps = seek(search), list[Probe](), list[Step]()
        gateway, ended = "", ""
        probe = next(seeking)
        while True:
            load, number = self._load(probe), len(steps) + 1
            self.display.begin_step(number, load)
            try:
                ran = await run(held_at(self.plan, load, self.order.step_s, number))
            except TransportError as error:
                if not steps:
                    raise
                ended = f"the gateway does not answer any more: {error}"
                break
            if ran.outcome is None or ran.is_stopped:
                return CapacityResult(
                    self.plan,
                    self.order,
                    gateway,
                    known(search, probes),
                    tuple(steps),
                    ended="it was stopped",
                    is_stopped=True,
                    is_aborted=ran.outcome is None,
                )
            gateway = ran.outcome.gateway
            step = self._step(number, load, ran.outcome)
            steps.append(step)
            probes.append(Probe(probe, step.outcome))
            self.display.end_step(step)
            if ran.outcome.report.count(Kind.STUCK):
                ended = "jobs of the last step are still open: a backlog would be in the way of whatever comes next"
                break
            try:
                probe = seeking.send(step.outcome)
            except StopIteration as end:
                knee: Knee = end.value
                spent = "" if knee.is_found or knee.under is None else f"no more than {search.probes} steps are made"
                return CapacityResult(self.plan, self.order, gateway, knee, tuple(steps), spent)
        return CapacityResult(self.plan, self.order, gateway, known(search, probes), tuple(steps), ended)

    def _load(self, probe: float) -> Load:
        if self.order.find is Find.NODES:
            return Load(self.height.jobs_per_s * probe / self.height.nodes, round(probe))
        return Load(probe, min(nodes_for(self.plan, probe), self.most_nodes or nodes_for(self.plan, probe)))

    def _step(self, number: int, load: Load, outcome: LoadOutcome) -> Step:
        values, histograms = outcome.values, outcome.histograms
        offered, accepted = values.get("offered"), values.get("accepted_rate")
        of = Measure.JOB
        done = accepted
        if self.order.find is Find.NODES:
            of = max((Measure.POLL, Measure.EMPTY_POLL), key=lambda one: histograms[one].count)
            levels = [level or 0.0 for level in outcome.figures.series.levels("nodes.running")]
            running = outcome.stretch.of(levels)
            # Nodes whose jobs pile up are no more than those whose jobs are done.
            done = running if not (offered and accepted) else min(running, load.nodes * accepted / offered)
        p99_s = histograms[of].percentiles_s(99)[0] if histograms[of].count else None
        broken = tuple(_broken(outcome, offered, accepted))
        probed = Outcome(
            is_met=not broken,
            done=done,
            p99_s=p99_s,
            reason=broken[0] if broken else "",
            is_void=outcome.verdict is Verdict.VOID,
        )
        return Step(number, load, probed, outcome.verdict, offered, accepted, p99_s, broken)


def _broken(outcome: LoadOutcome, offered: float | None, accepted: float | None) -> list[str]:
    """Everything that keeps a load from being met, the plan's own thresholds before what always holds."""
    if outcome.verdict is Verdict.VOID:
        return [*outcome.health.reasons, *outcome.defects]
    broken = [_missed(one) for one in outcome.outcomes if one.state is not State.PASSED]
    broken += [f"{finding.count} jobs {finding.kind.label}" for finding in outcome.report.broken]
    if offered and (accepted or 0.0) < _LEAST_DONE * offered:
        broken.append(f"the queue grows: {(accepted or 0.0) / offered:.0%} of what is offered is done")
    return broken


def _missed(judgement: Judgement) -> str:
    return str(judgement).replace(": failed,", ":")
