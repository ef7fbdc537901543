"""The search for the most that a gateway takes: a load test a step, each of the same plan held at another load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from node.app.loadtest.gateway import opened_gateway
from node.app.loadtest.load_test import LoadDisplay, LoadTest, Orders
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.policies import sandbox_policy
from node.domain.errors import InputFault, InvalidInput
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.capacity import Knee, Outcome, Probe, Search, known, seek
from node.loadtest.figures.figures import Measure
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scaling import Height, Load, height_of, held_at, nodes_for
from node.loadtest.plan.scenario import Scenario, Schedule
from node.loadtest.thresholds.threshold import Outcome as Judgement
from node.loadtest.thresholds.threshold import State
from node.observability.bus import EventBus
from node.observability.last_resort import to_stderr
from node.observability.redaction import Redactor
from node.runtime.tasks import TaskOwner

SCHEMA: Final = 1
"""The version of the document: it rises when a key goes or changes its meaning."""

_LEAST_DONE: Final = 0.95
"""Of the jobs that are offered: where less is done the queue grows, and what is measured says nothing that lasts."""

_LOWEST: Final = 1 / 64
"""Of the plan's own load: what a search that was told no lowest load goes down to."""

_KEPT_JOBS: Final = 500_000


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


class CapacityDisplay(LoadDisplay, Protocol):
    """What shows a search to people while it lasts, and each of its steps as any load test."""

    def begin_step(self, number: int, load: Load) -> None:
        """A step begins."""
        ...

    def end_step(self, step: Step) -> None:
        """A step is over."""
        ...


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
            remedy = "give it arrivals of kind constant or poisson" if is_jobs else "give it a stage"
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
        """
        search = self.search()
        seeking, probes, steps = seek(search), list[Probe](), list[Step]()
        gateway, ended, ran = "", "", Ran(None)
        probe = next(seeking)
        while True:
            load, number = self._load(probe), len(steps) + 1
            self.display.begin_step(number, load)
            ran = await run(held_at(self.plan, load, self.order.step_s, number))
            if ran.outcome is None or ran.is_stopped:
                ended = "it was stopped"
                break
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
        is_aborted = ran.outcome is None
        knee, is_stopped = known(search, probes), is_aborted or ran.is_stopped
        return CapacityResult(self.plan, self.order, gateway, knee, tuple(steps), ended, is_stopped, is_aborted)

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
            done = outcome.stretch.of(levels)
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


def probed(step: Step, order: CapacityOrder) -> float:
    """The load of a step in the unit of what is looked for."""
    return step.load.jobs_per_s if order.find is Find.JOBS else float(step.load.nodes)


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


@dataclass(frozen=True, slots=True)
class CapacityTest:
    """``python main.py loadtest capacity PLAN``: one gateway, a load test on it for each step.

    The first SIGINT or SIGTERM ends the search and tells what it knows, the second its step at once, the third the
    process, with ``exit_code_at_third_signal``. ``sandbox_rate_per_s`` throttles the bundled gateway.
    """

    plan: LoadTestPlan
    order: CapacityOrder
    display: CapacityDisplay
    redactor: Redactor
    exit_code_at_third_signal: int
    policy: DriverPolicy
    sandbox_rate_per_s: float | None = None

    async def run(self) -> CapacityResult:
        """Search to the end.

        Raises:
            SandboxFailed: the bundled gateway did not start.
            TransportError: the gateway does not answer.
            InvalidInput: the CA file cannot be used, or the plan has nothing to scale.
        """
        most_nodes = None if self.plan.roster is None else len(self.plan.roster)
        search = CapacitySearch(self.plan.scenario.plan, self.order, self.display, most_nodes)
        search.search()
        bus = EventBus(lambda line: to_stderr(self.redactor.redact(line)))
        tasks = TaskOwner(bus.emit)
        policy = sandbox_policy(self.plan.schedule, self.plan.bugs)
        # The audit of a step reads the jobs of that step alone; what was before may be forgotten meanwhile.
        policy = replace(
            policy,
            rate_per_s=self.sandbox_rate_per_s or policy.rate_per_s,
            keep_results=_KEPT_JOBS,
            keep_results_s=20 * self.order.step_s + policy.lease_s,
        )
        try:
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(
                    opened_gateway(self.plan, policy, self.redactor, self.display.say, tasks)
                )

                async def run(plan: Plan) -> Ran:
                    scenario, orders = Scenario(plan), Orders(self.display)
                    test = LoadTest(
                        replace(self.plan, scenario=scenario, schedule=Schedule(scenario)),
                        self.display,
                        self.redactor,
                        self.exit_code_at_third_signal,
                        self.policy,
                        gateway=gateway,
                        orders=orders,
                    )
                    return Ran(await test.run(), orders.is_stopped)

                return await search.run(run)
        finally:
            await tasks.cancel()
