"""Which part of a run is judged, and its figures by name."""

from __future__ import annotations

import pytest

from node.domain.ids import JobId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.driver.judged import figures_by_name, judged_histograms, judged_stretch, load_lateness
from node.loadtest.driver.run import Times
from node.loadtest.figures.buckets import COARSE, HIGHEST_US
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.figures.recorder import Recorder
from node.loadtest.figures.slices import Slice
from node.loadtest.plan.model import Plan

BEGUN = 1000.3


def plan(**changes: object) -> Plan:
    given = {
        "name": "x",
        "duration": "60s",
        "warm_up": "steady",
        "nodes": {"stages": [{"kind": "storm", "to": 1}]},
        "thresholds": ["p99.submit < 1s", "p99.poll < 1s"],
    }
    return Plan.model_validate(given | changes)


def measured(rates: list[int], latency_s: float = 0.02) -> Figures:
    """So many submissions in each second; the first ten take a second longer."""
    clock = [BEGUN]
    recorder = Recorder(lambda: clock[0])
    for second, jobs in enumerate(rates):
        clock[0] = BEGUN + second + 1
        late_s = latency_s + (1.0 if second < 10 else 0.0)
        for number in range(jobs):
            recorder.offered()
            recorder.submitted(JobId(f"{second}.{number}"), clock[0] - late_s)
        recorder.tick()
    return recorder.figures


TIMES = Times(BEGUN, BEGUN + 60, BEGUN + 62)


def test_a_warm_up_is_found_by_rule_and_left_out() -> None:
    figures = measured([min(10, second) for second in range(60)])
    stretch = judged_stretch(figures, plan(), TIMES)
    assert stretch.is_steady
    assert 5 <= stretch.start <= 15
    assert "MSER-5" in stretch.rule
    found = judged_histograms(figures, Book(), stretch, is_whole=False)
    assert found[Measure.SUBMIT].count == sum(min(10, second) for second in range(stretch.start, stretch.end))
    assert found[Measure.SUBMIT].percentiles_s(50)[0] == pytest.approx(0.02, rel=0.01)


def test_what_never_settles_is_judged_whole_and_said_to_be_so() -> None:
    figures = measured([1 + second * second // 10 for second in range(60)])
    stretch = judged_stretch(figures, plan(), TIMES)
    assert not stretch.is_steady
    assert stretch.start == 0


def test_what_settles_after_the_load_is_not_judged() -> None:
    stretch = judged_stretch(measured([10] * 80), plan(warm_up="10s"), TIMES)
    # The last second is judged only where the load fills it.
    assert (stretch.start, stretch.end) == (11, 60)


def test_a_run_of_which_nothing_was_measured_has_no_figures() -> None:
    stretch = judged_stretch(Figures(), plan(), TIMES)
    assert (stretch.start, stretch.end) == (0, 0)
    report = reconcile(GatewayWord(Book(), AuditPolicy()), BEGUN)
    histograms = judged_histograms(Figures(), Book(), stretch, is_whole=True)
    values = figures_by_name(plan(), Figures(), histograms, report, stretch, 5.0)
    assert values["p99.submit"] is None
    assert values["errors.poll"] is None
    assert values["empty_polls"] is None
    assert values["offered"] == 0
    assert values["lease"] == 5.0
    assert values["jobs.unknown"] == 0


def test_shares_of_errors_are_of_what_was_tried() -> None:
    figures = measured([10] * 60)
    figures.counts["poll_failed"] = 5
    figures.counts[Measure.POLL] = 20
    figures.counts[Measure.EMPTY_POLL] = 75
    figures.errors.count("result", "HTTP 503")
    figures.counts["accepted"] = 9
    figures.errors.count("register", "HTTP 500")
    figures.counts[Measure.REGISTER] = 3
    report = reconcile(GatewayWord(Book(), AuditPolicy()), BEGUN)
    stretch = judged_stretch(figures, plan(warm_up="0s"), TIMES)
    values = figures_by_name(plan(), figures, figures.histograms, report, stretch, None)
    assert values["errors.poll"] == 0.05
    assert values["errors.result"] == 0.1
    assert values["errors.register"] == 0.25
    assert values["errors.submit"] == 0.0
    assert values["empty_polls"] == pytest.approx(75 / 95)
    assert values["offered"] == pytest.approx(10, rel=0.02)


def test_rates_are_of_the_seconds_that_the_load_lasted() -> None:
    figures = measured([10] * 6 + [0] * 6)
    report = reconcile(GatewayWord(Book(), AuditPolicy()), BEGUN)
    stretch = judged_stretch(figures, plan(warm_up="0s"), Times(BEGUN, BEGUN + 6, BEGUN + 12))
    values = figures_by_name(plan(), figures, figures.histograms, report, stretch, None)
    assert values["duration"] == pytest.approx(6)
    assert values["submitted_rate"] == pytest.approx(10)


def test_what_was_before_the_load_is_not_judged() -> None:
    figures = measured([1] * 30 + [10] * 60)
    times = Times(BEGUN + 30, BEGUN + 90, BEGUN + 92)
    assert judged_stretch(figures, plan(warm_up="0s"), times).start == 30
    assert judged_stretch(figures, plan(), times).start >= 30


def test_millions_of_times_are_judged_in_a_moment() -> None:
    figures = Figures()
    for second in range(60):
        figures.series.latencies(Measure.POLL, BEGUN + second, Slice({COARSE.index(5_000): 50_000_000}))
        figures.series.latencies(Measure.JOB, BEGUN + second, Slice({COARSE.index(HIGHEST_US): 1}))
    stretch = judged_stretch(figures, plan(warm_up="10s"), TIMES)
    found = judged_histograms(figures, Book(), stretch, is_whole=False)
    assert found[Measure.POLL].count == 50_000_000 * (stretch.end - stretch.start)
    assert found[Measure.POLL].percentiles_s(99)[0] == pytest.approx(0.005, rel=0.01)
    assert found[Measure.JOB].max_s == pytest.approx(3600, rel=0.01)


def test_lateness_is_that_of_the_load() -> None:
    figures = Figures()
    for second in range(600):
        us = 500_000 if 20 <= second < 25 else 1000
        figures.series.latencies(Measure.LATENESS, BEGUN + second, Slice({COARSE.index(us): 10}))
    late = load_lateness(figures, TIMES)
    assert late.count == pytest.approx(600, abs=10)
    assert late.percentiles_s(99)[0] == pytest.approx(0.5, rel=0.01)
    assert load_lateness(Figures(), TIMES).count == 0
