"""Outcomes of real runs, in virtual time against the sandbox's application."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditVerdict
from node.loadtest.driver.judged import Stretch
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures
from node.loadtest.figures.health import HealthVerdict
from node.loadtest.figures.histogram import Histogram
from node.loadtest.figures.reasons import Reasons
from node.loadtest.figures.series import Mark
from tests.integration.loadtest.world import fault, plan_text, world
from tests.support.virtual_time import in_virtual_time

FAULTS = "\n".join(
    [
        fault("kill", "4s", share="30%", restart_after="2s"),
        fault("answer-twice", "7s", share="50%", for_="2s"),
        fault("unreachable", "10s", for_="500ms"),
    ]
)
THRESHOLDS = '["jobs.lost == 0", "p50.served < 100ms", "jobs.submitted > 50", "p99.renewed < 1s", "accepted_rate >= 0.5 * offered"]'


@functools.cache
def outcome_of(*bugs: str, thresholds: str = THRESHOLDS, has_control: bool = True, faults: str = FAULTS) -> LoadOutcome:
    """One run a process for each set of arguments: outcomes are values."""

    found: list[LoadOutcome] = []

    async def run() -> None:
        text = plan_text(thresholds=thresholds, faults=faults, lease="3s")
        async with world(text, *bugs, has_control=has_control) as it:
            found.append(await it.outcome())

    in_virtual_time(run)()
    return found[0]


def passed() -> LoadOutcome:
    """A run in which all is well."""
    return outcome_of(thresholds='["jobs.lost == 0", "jobs.submitted > 50"]', faults="")


def broken() -> LoadOutcome:
    """A run with faults, against a gateway that loses results and credits twice."""
    return outcome_of("lose-result=0.1", "double-credit=0.1")


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&\x00\ud800\u202e=1+1'


def hostile() -> LoadOutcome:
    """A run whose every name was chosen by somebody who means ill."""
    found = broken()
    figures = Figures.from_document(found.figures.to_document())
    figures.errors.merge(Reasons({f"poll: {HOSTILE}": 3, HOSTILE: 1}))
    figures.series.mark(Mark(found.times.begun_at + 3, HOSTILE))
    findings = tuple(
        replace(finding, examples=(f"={HOSTILE}", *finding.examples)) if finding.count else finding
        for finding in found.report.findings
    )
    models = tuple(model.model_copy(update={"name": HOSTILE}) for model in found.plan.jobs.models)
    jobs = found.plan.jobs.model_copy(update={"models": models})
    return replace(
        found,
        plan=found.plan.model_copy(update={"name": HOSTILE, "description": HOSTILE, "jobs": jobs}),
        gateway=f"http://gateway.test/{HOSTILE}",
        report=replace(found.report, findings=findings, notes=(HOSTILE,)),
        figures=figures,
        bugs=(HOSTILE,),
        notes=(HOSTILE,),
        environment={"processor": HOSTILE},
        stretch=replace(found.stretch, rule=HOSTILE),
    )


def void() -> LoadOutcome:
    """A run whose generator fell behind."""
    reasons = ("the event loop was late by 0.200 s at p99, the limit is 0.05 s",)
    health = HealthVerdict(
        is_void=True, reasons=reasons, found={**outcome_of().health.found, "loop_lag_s": 0.2, "send_lag_s": None}
    )
    return replace(outcome_of(), verdict=Verdict.VOID, health=health, defects=("submit: KeyError",))


def stopped() -> LoadOutcome:
    """A run that was ended before its time, with two jobs still open."""
    found = outcome_of()
    findings = tuple(
        replace(one, count=2, examples=("one", "two")) if one.kind is Kind.STUCK else one
        for one in found.report.findings
    )
    report = replace(found.report, findings=findings, verdict=AuditVerdict.BROKEN)
    return replace(found, verdict=Verdict.STOPPED, report=report)


def untold() -> LoadOutcome:
    """A run against a gateway that tells nothing of what became of jobs, nor of its lease."""
    found = outcome_of(thresholds="[]", has_control=False)
    findings = tuple(replace(one, count=None, judged=0) for one in found.report.findings)
    report = replace(
        found.report,
        findings=findings,
        verdict=AuditVerdict.UNKNOWN,
        jobs=replace(found.report.jobs, answered=None, credited=None),
    )
    return replace(found, report=report, verdict=Verdict.PASSED, values={**found.values, "lease": None})


def empty() -> LoadOutcome:
    """A run in which nothing was measured."""
    found = outcome_of()
    histograms = {measure: Histogram() for measure in found.histograms}
    return replace(
        found, figures=Figures(), histograms=histograms, stretch=Stretch(0, 0, "nothing was measured"), outcomes=()
    )


@functools.cache
def idle() -> LoadOutcome:
    """A run of nodes without any job."""
    found: list[LoadOutcome] = []

    async def run() -> None:
        async with world(plan_text(duration="5s", arrivals="", thresholds="[]")) as it:
            found.append(await it.outcome())

    in_virtual_time(run)()
    return found[0]


@functools.cache
def failing() -> LoadOutcome:
    """A run whose gateway takes one job at a time, and refuses all others."""
    found: list[LoadOutcome] = []

    async def run() -> None:
        text = (
            plan_text(thresholds="[]").replace("[sandbox]", "[sandbox]\nmax_pending = 1").replace("to = 10", "to = 1")
        )
        async with world(text) as it:
            found.append(await it.outcome())

    in_virtual_time(run)()
    return found[0]


def compared() -> LoadOutcome:
    """A run that was compared with another."""
    comparison = {
        "baseline": [f"before {HOSTILE}.json"],
        "now": "this run",
        "answer": "worse",
        "metrics": [
            _metric("p99.poll", "worse", baseline=0.01, candidate=0.02, change=1.0, low=0.8, high=1.2, is_sharp=True),
            _metric("accepted_rate", "same", baseline=20.0, candidate=19.9, change=-0.005, low=-0.2, high=0.19),
            _metric(
                "mean.result", "same", baseline=0.01, candidate=0.01, change=0.0, low=-0.01, high=0.01, is_sharp=True
            ),
            _metric("mean.job", "better", baseline=2.0, candidate=1.0, change=-0.5, low=-0.6, high=-0.4, is_sharp=True),
            _metric("p99.job", "unknown"),
        ],
        "warnings": ["another plan: duration_s"],
    }
    return replace(passed(), comparison=comparison)


def _metric(metric: str, answer: str, **figures: float | bool) -> dict[str, object]:
    nothing = dict.fromkeys(("baseline", "candidate", "change", "low", "high"))
    return {"metric": metric, "answer": answer, **nothing, "is_sharp": False, **figures}


every = pytest.mark.parametrize(
    "make",
    [passed, broken, outcome_of, void, stopped, untold, empty, hostile, compared, idle],
    ids=lambda make: make.__name__,
)
"""For tests that hold for whatever a run came to."""
