"""What was measured and audited is found under the names of thresholds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditReport, AuditVerdict, Finding, JobTotals
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.histogram import Histogram, Tally
from node.loadtest.thresholds.measured import audited, times
from node.loadtest.thresholds.parser import parse_threshold
from node.loadtest.thresholds.threshold import State
from node.loadtest.thresholds.vocabulary import COUNTS, MEASURES

TOTALS = JobTotals(
    submitted=100,
    unconfirmed=0,
    claimed=99,
    redelivered=2,
    executed=98,
    sent=98,
    accepted=97,
    answered=97,
    credited=None,
)


def report(lost: int | None) -> AuditReport:
    findings = [Finding(kind, 0, 100) for kind in Kind]
    findings[0] = replace(findings[0], count=lost)
    return AuditReport(AuditVerdict.CLEAN, TOTALS, tuple(findings))


def test_times_are_those_of_the_histograms() -> None:
    polls, tally = Histogram(), Tally()
    for ms in range(1, 101):
        tally.record(ms / 1000)
    polls.take(tally)
    thresholds = [
        parse_threshold(f"{name} < 1s")
        for name in ("p50.poll", "p99.poll", "p100.poll", "min.poll", "mean.poll", "max.poll", "p99.job", "p1.renewed")
    ]
    found = times([*thresholds, parse_threshold("jobs.lost == 0")], {Measure.POLL: polls, Measure.JOB: Histogram()})
    assert found == {
        "p50.poll": pytest.approx(0.050, rel=1e-3),
        "p99.poll": pytest.approx(0.099, rel=1e-3),
        "p100.poll": pytest.approx(0.100, rel=1e-3),
        "min.poll": pytest.approx(0.001, rel=1e-3),
        "mean.poll": pytest.approx(0.0505, rel=1e-3),
        "max.poll": pytest.approx(0.100, rel=1e-3),
        "p99.job": None,
        "p1.renewed": None,
    }


def test_every_measure_has_a_name_and_every_kind_a_count() -> None:
    assert set(MEASURES.values()) == set(Measure)
    assert set(audited(report(0))) == {f"jobs.{name}" for name in COUNTS if name not in {"dropped", "unknown"}}


@pytest.mark.parametrize(("lost", "state"), [(0, State.PASSED), (1, State.FAILED), (None, State.UNKNOWN)])
def test_what_the_audit_cannot_tell_is_no_pass(lost: int | None, state: State) -> None:
    values = audited(report(lost))
    assert parse_threshold("jobs.lost == 0").evaluate(values).state is state
    assert parse_threshold("jobs.accepted >= 0.97 * jobs.submitted").evaluate(values).state is State.PASSED
    assert parse_threshold("jobs.credited > 0").evaluate(values).state is State.UNKNOWN
