"""Which part of a run is judged, and its figures by name."""

from __future__ import annotations

import asyncio

import pytest

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.phases import job_phases
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.views import Held, Said
from node.loadtest.driver.judged import (
    evaluated,
    figures_by_name,
    judged_histograms,
    judged_phases,
    judged_stretch,
    load_lateness,
    take_in_turns,
)
from node.loadtest.driver.run import Times
from node.loadtest.figures.buckets import COARSE, HIGHEST_US
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.figures.recorder import Recorder
from node.loadtest.figures.slices import Slice
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.measured import unsure
from node.loadtest.thresholds.threshold import State

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
    found = judged_histograms(figures, {}, stretch, is_whole=False)
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
    histograms = judged_histograms(Figures(), job_phases(Book()), stretch, is_whole=True)
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
    found = judged_histograms(figures, {}, stretch, is_whole=False)
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


def test_what_was_under_way_at_the_end_of_the_load_counts_when_it_is_over() -> None:
    """A stall at the end of the load must not be left out because its answers came afterwards."""
    figures = measured([10] * 60)
    series = figures.series
    series.latencies(Measure.FAILED_SUBMIT, BEGUN + 65, Slice({COARSE.index(30_000_000): 7, COARSE.index(2_000): 5}))
    series.latencies(Measure.POLL, BEGUN + 60, Slice({COARSE.index(900_000): 3, COARSE.index(1_100_000): 4}))
    stretch = judged_stretch(figures, plan(warm_up="10s"), TIMES)
    found = judged_histograms(figures, {}, stretch, is_whole=False)
    assert found[Measure.FAILED_SUBMIT].count == 7
    assert found[Measure.POLL].count == 4


N = NodeId("n")


def backlog(*, done: int, late: int, left: int) -> Book:
    """Jobs that were due at half time: some done in a second, some 40 s after the end of the load, some not at all."""
    book, due = Book(), BEGUN + 30
    for number in range(done + late + left):
        job = JobId(str(number))
        book.submitted(job, "m", due, due + 0.1)
        if number < done + late:
            ended_at = due + 1 if number < done else BEGUN + 100
            book.claimed(job, N, ended_at - 0.5)
            book.accepted(job, N, ended_at, already=False)
            book.said(job, Said.SUCCESS)
    for number, at in enumerate((BEGUN + 2, BEGUN + 61)):
        book.submitted(JobId(f"not judged {number}"), "m", at, at)
    return book


RUN = Times(BEGUN, BEGUN + 60, BEGUN + 130)


@pytest.mark.parametrize(
    ("left", "limit", "state"),
    [
        (0, "p99.job < 80s", State.PASSED),
        (0, "p99.job < 60s", State.FAILED),
        (20, "p99.job < 80s", State.FAILED),
        (20, "p99.job < 110s", State.UNKNOWN),
        (20, "p50.job < 110s", State.PASSED),
        (20, "mean.job < 110s", State.UNKNOWN),
        (20, "max.queued < 110s", State.UNKNOWN),
        (20, "min.queued < 110s", State.PASSED),
        (20, "p99.served < 1s", State.PASSED),
    ],
)
def test_a_backlog_at_the_end_counts_by_its_age(left: int, limit: str, state: State) -> None:
    figures, given = measured([10] * 60), plan(warm_up="10s", thresholds=[limit])
    stretch = judged_stretch(figures, given, RUN)
    book = backlog(done=100, late=30, left=left)
    phases = judged_phases(figures, book, stretch, RUN, is_whole=False)
    for job in book:
        phases.take(job)
    found = judged_histograms(figures, phases.histograms(), stretch, is_whole=False)
    assert found[Measure.JOB].count == 130 + left
    assert found[Measure.JOB].max_s == pytest.approx(100 if left else 70, rel=0.01)
    assert found[Measure.WORK].count == 130
    assert phases.open == ({Measure.JOB: left, Measure.CLAIM: left} if left else {})
    report = reconcile(GatewayWord(book, AuditPolicy()), RUN.settled_at)
    values = figures_by_name(given, figures, found, report, stretch, 5.0)
    (outcome,) = evaluated(given, values, unsure(given.thresholds, found, phases.open))
    assert outcome.state is state
    if state is State.UNKNOWN:
        assert f"since {left} were not over at the end" in str(outcome)


def test_of_a_job_whose_end_nobody_heard_it_is_not_known_how_long_it_took() -> None:
    book = Book()
    book.submitted(JobId("shown"), "m", BEGUN, BEGUN)
    book.said(JobId("shown"), Said.SUCCESS)
    book.submitted(JobId("held"), "m", BEGUN, BEGUN)
    book.handed(JobId("held"), 1, BEGUN + 1, "n", Held.ANSWERED)
    phases = judged_phases(Figures(), book, judged_stretch(Figures(), plan(), RUN), RUN, is_whole=False)
    for job in book:
        phases.take(job)
    assert phases.open == {}
    assert phases.histograms()[Measure.JOB].count == 0


@pytest.mark.parametrize(("tried", "found"), [(0, None), (10, 0.0)])
def test_failures_took_no_time_where_there_were_none(tried: int, found: float | None) -> None:
    given = plan(warm_up="0s", thresholds=["p99.failed_submit < 1s", "failed_poll.max < 1s"])
    figures = measured([tried])
    figures.counts[Measure.EMPTY_POLL] = tried
    stretch = judged_stretch(figures, given, Times(BEGUN, BEGUN + 1, BEGUN + 2))
    report = reconcile(GatewayWord(Book(), AuditPolicy()), BEGUN)
    values = figures_by_name(given, figures, figures.histograms, report, stretch, None)
    assert values["p99.failed_submit"] == values["max.failed_poll"] == found


async def test_others_have_their_turns_while_jobs_are_judged() -> None:
    book, turns, taken = Book(), [0], list[int]()
    for number in range(2000):
        book.submitted(JobId(str(number)), "m", BEGUN, BEGUN)

    async def live_on() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    living = asyncio.create_task(live_on())
    await take_in_turns(book, lambda _: taken.append(turns[0]))
    living.cancel()
    await asyncio.wait([living])
    assert len(taken) == 2000
    assert max(map(taken.count, set(taken))) <= 500
