"""The recorder, told as an event bus tells it."""

from __future__ import annotations

import json

import pytest

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.states import Life, LifeInput, Session
from node.loadtest.figures import recorder as recorder_module
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.reasons import MAX_CLASSES, Reasons, reason_class
from node.loadtest.figures.recorder import Recorder, steady_wall
from node.observability.bus import EventBus

N, M, J = NodeId("n1"), NodeId("n2"), JobId("j1")
KEY, OTHER = JobKey(SourceId("s"), N, J), JobKey(SourceId("s"), M, J)
T0 = 1_800_000_000.0


class Stage:
    """A recorder on a real bus, and the time."""

    def __init__(self, poll_cycle_s: float | None = None) -> None:
        self.now = T0
        self.recorder = Recorder(lambda: self.now, poll_cycle_s)
        self.bus = EventBus(self.fail)
        self.bus.attach(self.recorder)

    def fail(self, text: str) -> None:
        raise AssertionError(text)

    def at(self, seconds: float, *events: ev.Event) -> None:
        self.now = T0 + seconds
        for event in events:
            self.bus.emit(event)

    def figures(self) -> Figures:
        self.recorder.tick()
        return self.recorder.figures

    def took_s(self, measure: Measure) -> tuple[float, int]:
        histogram = self.figures().histograms[measure]
        return histogram.max_s, histogram.count


def about(seconds: float) -> object:
    return pytest.approx(seconds, rel=1e-3, abs=1e-5)


def test_a_poll_is_timed_from_when_it_was_due() -> None:
    stage = Stage()
    stage.at(1, ev.PollStarted(N, 0.25), ev.PollEnded(N, 0.5, None))
    stage.at(2, ev.PollStarted(N, 0.0), ev.PollEnded(N, 0.125, J))
    assert stage.took_s(Measure.EMPTY_POLL) == (about(0.75), 1)
    assert stage.took_s(Measure.POLL) == (about(0.125), 1)
    assert stage.took_s(Measure.LATENESS) == (about(0.25), 2)


def test_a_stalled_empty_poll_stands_for_those_it_kept_from_being_made() -> None:
    stage = Stage(poll_cycle_s=1.0)
    for _ in range(100):
        stage.at(1, ev.PollStarted(N, 0.0), ev.PollEnded(N, 0.01, None))
    stage.at(1, ev.PollStarted(N, 0.0), ev.PollEnded(N, 5.0, None))
    figures = stage.figures()
    assert figures.histograms[Measure.EMPTY_POLL].count == 105
    assert figures.histograms[Measure.EMPTY_POLL].percentiles_s(99)[0] > 3
    assert figures.counts[Measure.EMPTY_POLL] == 101
    assert sum(figures.series.rates(Measure.EMPTY_POLL)) == 101


def test_a_failed_poll_leaves_its_lateness_behind() -> None:
    stage = Stage()
    stage.at(1, ev.PollStarted(N, 3.0), ev.PollFailed(N, 1.0, "HTTP 503: busy", 1.0))
    stage.at(2, ev.PollEnded(N, 0.125, None))
    assert stage.took_s(Measure.EMPTY_POLL) == (about(0.125), 1)
    assert stage.took_s(Measure.FAILED_POLL) == (about(4.0), 1)
    assert stage.figures().errors.most_common() == [("poll: HTTP 503", 1)]


def test_the_phases_of_a_job_that_is_redelivered() -> None:
    stage = Stage()
    stage.now = T0 + 1
    stage.recorder.offered(2)
    stage.recorder.submitted(J, T0)
    stage.recorder.submit_failed("HTTP 500", T0 + 0.75)
    stage.recorder.withheld()
    stage.at(2, ev.JobClaimed(KEY, "m"))
    stage.at(3, ev.JobEnded(KEY, "e", "m", 1.0, 3))
    stage.now = T0 + 4
    stage.recorder.crashed([N])
    stage.at(10, ev.JobClaimed(OTHER, "m"))
    stage.at(11, ev.JobEnded(OTHER, "", "m", 1.0, None, error="it failed"))
    stage.at(12, ev.ResultDelayed(OTHER, 1, "the gateway:80 was away", 1.0))
    stage.at(13, ev.ResultAccepted(OTHER, 3.0, 2, already=False))
    stage.at(14, ev.ResultAccepted(KEY, 12.0, 2, already=True), ev.ResultBuried(KEY, "refused"))
    stage.at(15, ev.ResultLost(KEY, "no disk"), ev.JobSkipped(KEY, "known"))
    assert stage.took_s(Measure.SUBMIT) == (about(1), 1)
    assert stage.took_s(Measure.FAILED_SUBMIT) == (about(0.25), 1)
    assert stage.took_s(Measure.CLAIM) == (about(2), 1)
    assert stage.took_s(Measure.REDELIVERY) == (about(6), 1)
    assert stage.took_s(Measure.RESULT) == (about(2), 1)
    assert stage.took_s(Measure.JOB) == (about(13), 1)
    assert stage.took_s(Measure.WORK) == (about(12), 2)
    counts = stage.figures().counts
    expected = {
        Count.OFFERED: 2, Count.SUBMITTED: 1, Count.SUBMIT_FAILED: 1, Count.DROPPED: 1, Count.CLAIMED: 2, Count.EXECUTED: 2,
        Count.FAILED: 1, Count.ACCEPTED: 1, Count.ALREADY: 1, Count.BURIED: 1, Count.UNKEPT: 1, Count.SKIPPED: 1,
        Count.CRASHED: 1,
    }  # fmt: skip
    assert {name: counts[name] for name in expected} == expected
    assert ("result: the # was away", 1) in stage.figures().errors.most_common()


def test_a_job_that_is_claimed_before_its_submission_is_answered_is_timed_like_any_other() -> None:
    stage = Stage()
    stage.at(1.5, ev.JobClaimed(KEY, "m"))
    stage.at(2)
    stage.recorder.submitted(J, T0 + 1)
    stage.at(4, ev.ResultAccepted(KEY, 2.5, 1, already=False))
    assert stage.took_s(Measure.CLAIM) == (about(0.5), 1)
    assert stage.took_s(Measure.JOB) == (about(3), 1)


def test_a_job_that_is_done_before_its_submission_is_answered_is_timed_like_any_other() -> None:
    stage = Stage()
    stage.at(1.5, ev.JobClaimed(KEY, "m"))
    stage.at(1.75, ev.ResultAccepted(KEY, 0.25, 1, already=False))
    stage.at(1.8, ev.JobClaimed(OTHER, "m"), ev.ResultAccepted(OTHER, 0.25, 1, already=True))
    stage.at(2)
    stage.recorder.submitted(J, T0 + 1)
    assert stage.took_s(Measure.CLAIM) == (about(0.5), 1)
    assert stage.took_s(Measure.JOB) == (about(0.75), 1)
    assert not stage.recorder._submitted


def test_steps_and_renewals() -> None:
    stage = Stage()
    stage.at(1, ev.StepEnded(N, "register", 0.5), ev.StepEnded(N, "update_models", 9.0))
    stage.at(1, ev.StepEnded(N, "register", 0.5, 3, "refused"), ev.StepRetried(N, "register", 1, "HTTP 500", 1.0))
    stage.at(2, ev.SessionChanged(N, Session.VALID, 1), ev.SessionChanged(N, Session.EXPIRING, 1))
    stage.at(3, ev.SessionChanged(N, Session.REJECTED, 1))
    stage.at(4, ev.SessionChanged(N, Session.VALID, 2), ev.SessionChanged(M, Session.REJECTED, 1))
    stage.at(5, ev.SessionChanged(M, Session.NONE, 1), ev.SessionChanged(M, Session.VALID, 2))
    assert stage.took_s(Measure.REGISTER) == (about(0.5), 1)
    assert stage.took_s(Measure.RENEWAL) == (about(2), 1)
    assert stage.figures().errors.most_common() == [("register: HTTP 500", 1), ("register: refused", 1)]


def test_nodes_by_state_and_gauges_are_levels_a_second() -> None:
    stage = Stage()
    for node in (N, M):
        stage.at(0.2, ev.LifeChanged(node, Life.NEW, LifeInput.START, Life.STARTING))
    stage.at(0.4, ev.LifeChanged(N, Life.STARTING, LifeInput.READY, Life.RUNNING))
    stage.now = T0 + 1
    stage.recorder.tick({"queue": 7})
    stage.recorder.crashed([M])
    stage.recorder.mark("1 node killed")
    stage.now = T0 + 2
    stage.recorder.tick({"queue": 9})
    series = stage.recorder.figures.series
    assert series.levels("nodes.running") == [1, 1]
    assert series.levels("nodes.starting") == [1, 0]
    assert series.levels("nodes.crashed") == [None, 1]
    assert series.levels("queue") == [7, 9]
    assert [(mark.at, mark.text) for mark in series.marks] == [(T0 + 1, "1 node killed")]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MAX_OPEN", 10)
    stage = Stage()
    for number in range(50):
        stage.recorder.submitted(JobId(f"j{number}"), T0)
    assert len(stage.recorder._submitted) == 10
    monkeypatch.setattr(recorder_module, "MAX_EARLY", 10)
    for number in range(100, 150):
        key = JobKey(SourceId("s"), N, JobId(f"j{number}"))
        stage.at(1, ev.JobClaimed(key, "m"), ev.ResultAccepted(key, 0.1, 1, already=False))
    assert (len(stage.recorder._early_claims), len(stage.recorder._early_ends)) == (10, 10)
    stage.at(1, ev.JobClaimed(JobKey(SourceId("s"), N, JobId("j0")), "m"))
    stage.at(1, ev.JobClaimed(JobKey(SourceId("s"), N, JobId("j49")), "m"))
    assert stage.took_s(Measure.CLAIM) == (about(1), 1)


def test_figures_merge_and_travel() -> None:
    stages = [Stage(), Stage()]
    for stage, took_s in zip(stages, (0.1, 0.2), strict=True):
        stage.at(1, ev.PollStarted(N, 0.0), ev.PollEnded(N, took_s, None), ev.PollFailed(N, 1.0, "HTTP 500", 1.0))
    whole = Figures()
    for stage in stages:
        whole.merge(Figures.from_document(json.loads(json.dumps(stage.figures().to_document()))))
    assert whole.histograms[Measure.EMPTY_POLL].count == 2
    assert whole.counts[Count.POLL_FAILED] == 2
    assert whole.errors.most_common() == [("poll: HTTP 500", 2)]
    assert sum(whole.series.rates(Measure.EMPTY_POLL)) == 2
    for change in ({"v": 9}, {"counts": 3}, {"histograms": {"poll": "!"}}, {"histograms": {"new": ""}}):
        with pytest.raises(ValueError, match=r".+"):
            Figures.from_document(whole.to_document() | change)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("HTTP 200: no job_id in it", "HTTP 200 with an answer that is none"),
        ("HTTP 503: try again in 3 s", "HTTP 503"),
        ("127.0.0.1:8080: the connection was closed", "the connection was closed"),
        ("127.0.0.1:8080: no whole reply in 10 s", "no whole reply in time"),
        ("job 'x' of \"y\" failed", "job # of # failed"),
        ("", "other"),
        ("12", "#"),
        ("a" * 500, "a" * 80),
    ],
)
def test_reasons_lose_what_differs_from_case_to_case(reason: str, expected: str) -> None:
    assert reason_class(reason) == expected


def test_reasons_are_few() -> None:
    reasons, more = Reasons(), Reasons()
    for number in range(3000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        reasons.count("poll", f"because of {word}")
        more.count("job", f"because of {word}")
    reasons.merge(more)
    counts = dict(reasons.most_common())
    assert len(counts) <= MAX_CLASSES + 2
    assert sum(counts.values()) == 6000
    assert counts["job: other"] > 2900


def test_the_steady_wall_follows_the_loops_time() -> None:
    class Stepped:
        wall_s, loop_s = T0, 50.0

        def wall(self) -> float:
            return self.wall_s

        def monotonic(self) -> float:
            return self.loop_s

    clock = Stepped()
    now = steady_wall(clock)
    clock.wall_s -= 3600
    clock.loop_s += 2
    assert now() == T0 + 2


@pytest.mark.parametrize("early_s", [-0.004, 0.004])
def test_ticks_that_come_a_little_early_or_late_fill_the_second_before_them(early_s: float) -> None:
    stage = Stage()
    for second in range(1, 6):
        stage.now = T0 + second - early_s * (-1) ** second
        stage.bus.emit(ev.PollEnded(N, 0.01, None))
        stage.recorder.tick()
    assert stage.recorder.figures.series.rates(Measure.EMPTY_POLL) == [1, 1, 1, 1, 1]
