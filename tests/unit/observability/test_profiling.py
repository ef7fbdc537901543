from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.domain import events as ev
from node.domain.ids import JobId, JobKey
from node.observability import profiling
from node.observability.bus import EventBus
from node.observability.profiling import Gauges, JobProfiler
from node.observability.trace_book import TraceBook
from tests.unit.observability.conftest import FixedClock
from tests.unit.observability.sample_events import EVENTS, KEY


class Bench:
    """Events at chosen times, and the profiles that come of them."""

    def __init__(self, sample_rate: float = 1.0) -> None:
        self.clock = FixedClock()
        self.began = self.clock.now
        self.cpu_s = 10.0
        self.profiles: list[ev.JobProfiled] = []
        self.told: list[str] = []
        self.bus = EventBus(self.told.append)
        self.book = TraceBook(random.Random(1), sample_rate)
        gauges = Gauges(lambda: self.cpu_s, lambda since: since - self.began)
        self.bus.attach(self.book)
        self.bus.attach(JobProfiler(self.book, self.clock, gauges, self.bus))
        self.bus.subscribe(ev.JobProfiled, self.profiles.append)

    def at(self, second: float, event: ev.Event) -> None:
        self.clock.now = self.began + second
        self.bus.emit(event)

    def called(self, second: float, took_s: float, first_token_s: float | None = None, **more: float | str) -> None:
        context = self.book.context(KEY)
        self.at(second, ev.EngineCalled("e", "m", took_s, 1, first_token_s=first_token_s, trace=context, **more))  # type: ignore[arg-type]

    @property
    def phases(self) -> dict[str, float]:
        (profile,) = self.profiles
        return {name: round(value, 6) for name, value in profile.phases._asdict().items() if round(value, 6)}


def claimed() -> Bench:
    bench = Bench()
    bench.at(1.0, ev.PollEnded(KEY.node, 0.25, KEY.job))
    bench.at(1.0, ev.JobClaimed(KEY, "m"))
    return bench


def test_the_phases_of_a_job_follow_each_other_from_its_receipt_to_its_acceptance() -> None:
    bench = claimed()
    bench.called(7.0, 4.0, 2.5, load_s=2.0)
    bench.at(7.5, ev.JobEnded(KEY, "e", "m-small", 6.25, 12))
    bench.cpu_s += 0.5
    bench.at(9.0, ev.ResultAccepted(KEY, 8.0, 1, already=False))
    assert bench.phases == {
        "poll_s": 0.25,
        "wait_s": 2.25,
        "load_s": 2.0,
        "first_token_s": 0.5,
        "generation_s": 1.5,
        "keep_s": 0.25,
        "submit_s": 1.5,
    }
    (profile,) = bench.profiles
    assert sum(profile.phases) - profile.phases.poll_s == pytest.approx(8.0)
    assert (profile.key, profile.model, profile.error, profile.engine_calls) == (KEY, "m-small", "", 1)
    assert (profile.cpu_s, profile.loop_lag_s) == (0.5, 1.0)
    assert bench.told == []


def test_attempts_add_up_and_what_lies_between_them_is_waiting() -> None:
    bench = claimed()
    bench.called(2.0, 1.0, error="overloaded")
    bench.called(6.0, 2.0, 1.0)
    bench.at(6.0, ev.JobEnded(KEY, "e", "m", 5.0, 12))
    bench.at(6.0, ev.ResultAccepted(KEY, 5.0, 1, already=False))
    assert bench.phases == {"poll_s": 0.25, "wait_s": 2.0, "first_token_s": 2.0, "generation_s": 1.0}
    assert bench.profiles[0].engine_calls == 2


def test_a_job_that_no_engine_saw_only_waited() -> None:
    bench = claimed()
    bench.at(3.0, ev.JobEnded(KEY, "", "m", 2.0, None, "no engine is there"))
    bench.at(4.0, ev.ResultBuried(KEY, "HTTP 404"))
    assert bench.phases == {"poll_s": 0.25, "wait_s": 2.0, "submit_s": 1.0}
    assert bench.profiles[0].error == "no engine is there"


def test_a_refusal_is_told() -> None:
    bench = claimed()
    bench.at(3.0, ev.JobEnded(KEY, "e", "m", 2.0, 1))
    bench.at(4.0, ev.ResultBuried(KEY, "HTTP 404"))
    assert bench.profiles[0].error == "HTTP 404"


@pytest.mark.parametrize("load_s", [9.0, 0.0])
def test_an_engine_that_tells_nonsense_makes_no_time_negative(load_s: float) -> None:
    bench = claimed()
    bench.called(3.0, 2.0, 3.0, load_s=load_s)
    bench.at(3.0, ev.JobEnded(KEY, "e", "m", 1.0, 1))
    bench.at(3.0, ev.ResultAccepted(KEY, 2.0, 1, already=False))
    assert all(value >= 0 for value in bench.phases.values())


def test_a_lost_result_and_a_strange_call_are_not_told() -> None:
    bench = claimed()
    bench.at(2.0, ev.EngineCalled("e", "m", 1.0, 1))
    bench.at(3.0, ev.ResultLost(KEY, "the disk is full"))
    bench.at(4.0, ev.ResultAccepted(KEY, 3.0, 1, already=False))
    assert bench.profiles == []


def test_another_jobs_poll_is_not_its_own() -> None:
    bench = Bench()
    bench.at(1.0, ev.PollEnded(KEY.node, 0.25, JobId("skipped")))
    bench.at(1.0, ev.JobClaimed(KEY, "m"))
    bench.at(2.0, ev.JobEnded(KEY, "e", "m", 1.0, 1))
    bench.at(2.0, ev.ResultAccepted(KEY, 1.0, 1, already=False))
    assert bench.phases == {"wait_s": 1.0}


def test_one_draw_decides_whether_a_job_is_profiled_and_traced() -> None:
    bench = Bench(0.25)
    drawn = []
    for number in range(400):
        key = JobKey(KEY.source, KEY.node, JobId(f"job-{number}"))
        bench.at(1.0, ev.JobClaimed(key, "m"))
        if bench.book.context(key) is not None:
            drawn.append(key)
        bench.at(2.0, ev.JobEnded(key, "e", "m", 1.0, 1))
        bench.at(2.0, ev.ResultAccepted(key, 1.0, 1, already=False))
    assert [profile.key for profile in bench.profiles] == drawn
    assert 50 < len(drawn) < 150


def test_where_nothing_is_sampled_nothing_is_remembered() -> None:
    bench = Bench(0.0)
    bench.at(1.0, ev.JobClaimed(KEY, "m"))
    bench.at(2.0, ev.JobEnded(KEY, "e", "m", 1.0, 1))
    bench.at(2.0, ev.ResultAccepted(KEY, 1.0, 1, already=False))
    assert bench.profiles == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "MAX_OPEN", 3)
    bench = Bench()
    keys = [JobKey(KEY.source, KEY.node, JobId(f"job-{number}")) for number in range(5)]
    for key in keys:
        bench.at(1.0, ev.JobClaimed(key, "m"))
        bench.at(1.0, ev.JobEnded(key, "e", "m", 1.0, 1))
    for key in keys:
        bench.at(2.0, ev.ResultAccepted(key, 1.0, 1, already=False))
    assert [profile.key for profile in bench.profiles] == keys[2:]


@pytest.mark.parametrize("make", [lambda: EVENTS, lambda: tuple(reversed(EVENTS)), lambda: EVENTS * 2])
def test_no_order_of_events_is_too_much(make: Callable[[], tuple[ev.Event, ...]]) -> None:
    bench = Bench()
    for event in make():
        bench.at(1, event)
    assert bench.told == []
