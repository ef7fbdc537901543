from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.states import Life, LifeInput
from node.observability import trace_book, tracing
from node.observability.bus import EventBus
from node.observability.trace_book import TraceBook
from node.observability.tracing import Span, TraceSubscriber
from tests.unit.observability.conftest import FixedClock
from tests.unit.observability.sample_events import EVENTS, KEY, NODE


class TraceBench:
    """Events at chosen times, and the spans that come of them."""

    def __init__(self, sample_rate: float = 1.0, seed: int = 1) -> None:
        self.clock = FixedClock()
        self.began = self.clock.now
        self.spans: list[Span] = []
        self.told: list[str] = []
        self.book = TraceBook(random.Random(seed), sample_rate)
        self.tracing = TraceSubscriber(self.spans.append, self.book, self.clock)
        self.bus = EventBus(self.told.append)
        self.bus.attach(self.book)
        self.bus.attach(self.tracing)

    def at(self, second: float, event: ev.Event) -> None:
        self.clock.now = self.began + second
        self.bus.emit(event)

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def times(self, name: str) -> tuple[float, float]:
        span = self.span(name)
        return round(span.began_at - self.began, 6), round(span.ended_at - self.began, 6)


def worked(bench: TraceBench, key: JobKey = KEY) -> None:
    bench.at(1.0, ev.PollStarted(key.node, 0.0))
    bench.at(1.5, ev.PollEnded(key.node, 0.5, key.job))
    bench.at(1.5, ev.JobClaimed(key, "m"))
    context = bench.book.context(key)
    bench.at(3.25, ev.EngineCalled("ollama", "m", 0.25, 5, "full", trace=context))
    bench.at(3.5, ev.EngineCalled("ollama", "m-small", 0.0, 7, trace=context))
    bench.at(4.0, ev.JobEnded(key, "ollama", "m-small", 2.0, 12, "", 30, 0.25, "stop"))
    bench.at(5.0, ev.ResultAccepted(key, 3.5, 2, already=False))


def test_a_job_is_one_trace_from_its_poll_to_its_acceptance() -> None:
    bench = TraceBench()
    worked(bench)
    whole = bench.span("job")
    assert whole.parent is None
    assert bench.times("job") == (1.0, 5.0)
    assert bench.times("poll") == (1.0, 1.5)
    assert bench.times("claim") == (1.5, 3.0)
    assert bench.times("chat m") == (3.0, 3.5)
    assert bench.times("keep") == (3.5, 4.0)
    assert bench.times("submit") == (4.0, 5.0)
    inner = [bench.span(name) for name in ("poll", "claim", "chat m", "keep", "submit")]
    assert all(span.parent == whole.context for span in inner)
    assert len({span.context.trace_id for span in bench.spans}) == 1
    assert len({span.context.span_id for span in bench.spans}) == 6
    assert whole.attributes == {tracing.NODE: KEY.node, tracing.JOB: KEY.job, "llm_node.source": KEY.source}
    assert bench.span("chat m").attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.provider.name": "ollama",
        "gen_ai.response.model": "m-small",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.response.time_to_first_chunk": 0.25,
    }
    assert bench.span("submit").attributes == {tracing.ATTEMPTS: 2, "llm_node.already_there": False}
    assert bench.told == []


def test_the_engine_can_be_told_the_trace_while_the_job_is_open() -> None:
    bench = TraceBench()
    assert bench.book.context(KEY) is None
    bench.at(0, ev.JobClaimed(KEY, "m"))
    context = bench.book.context(KEY)
    assert context is not None
    assert bench.book.job(context) == KEY
    bench.at(1, ev.JobEnded(KEY, "ollama", "m", 1.0, 1))
    assert bench.span("chat m").context == context
    bench.at(2, ev.ResultAccepted(KEY, 2.0, 1, already=False))
    assert bench.book.context(KEY) is None
    assert bench.book.job(context) is None


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (ev.ResultBuried(KEY, "HTTP 404"), "HTTP 404"),
        (ev.ResultLost(KEY, "the disk was full"), "the disk was full"),
    ],
)
def test_what_goes_wrong_marks_the_trace(last: ev.Event, error: str) -> None:
    bench = TraceBench()
    bench.at(0, ev.JobClaimed(KEY, "", "embedding"))
    bench.at(1, ev.JobEnded(KEY, "", "m", 1.0, None, "no engine"))
    bench.at(2, last)
    execution = bench.span("embeddings")
    assert execution.error == "no engine"
    assert execution.attributes == {"gen_ai.operation.name": "embeddings", "error.type": "_OTHER"}
    assert bench.span("job").error == "no engine"
    assert [span.error for span in bench.spans if span.name == "submit"] in ([error], [])
    quiet = TraceBench()
    quiet.at(0, ev.JobClaimed(KEY, "m"))
    quiet.at(2, last)
    assert quiet.span("job").error == error


def test_what_is_open_at_the_end_is_told() -> None:
    bench = TraceBench()
    bench.at(0, ev.JobClaimed(KEY, "m"))
    bench.clock.now += 9
    bench.tracing.finish()
    assert "not sent yet" in bench.span("job").error
    bench.tracing.finish()
    assert len(bench.spans) == 1


def test_a_start_is_a_trace_of_its_steps() -> None:
    bench = TraceBench()
    bench.at(0, ev.LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING))
    bench.at(2, ev.StepEnded(NODE, "register", 0.5, 3))
    bench.at(3, ev.LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING))
    bench.at(9, ev.StepEnded(NODE, "points", 0.5, error="HTTP 500"))
    assert bench.times("start") == (0, 3)
    assert bench.times("register") == (1.5, 2)
    assert bench.span("register").parent == bench.span("start").context
    assert bench.span("register").attributes[tracing.ATTEMPTS] == 3
    assert bench.span("points").parent is None
    assert bench.span("points").error == "HTTP 500"
    assert bench.span("start").error == ""


def test_a_start_that_fails_says_why() -> None:
    bench = TraceBench()
    bench.at(0, ev.LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING))
    bench.at(1, ev.LifeChanged(NODE, Life.STARTING, LifeInput.FAULT, Life.RECOVERING, "HTTP 503"))
    assert bench.span("start").error == "HTTP 503"


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.3, 200, 400), (1.0, 1000, 1000)])
def test_a_share_of_the_jobs_is_traced_each_whole_or_not_at_all(rate: float, least: int, most: int) -> None:
    bench = TraceBench(rate)
    for number in range(1000):
        worked(bench, KEY._replace(job=JobId(f"job-{number}")))
    names = [span.name for span in bench.spans]
    assert least <= names.count("job") <= most
    assert len(names) == 6 * names.count("job")
    bench.bus.emit(ev.PollFailed(NODE, 0.1, "HTTP 503", 1.0))
    assert bench.told == []


def test_ids_come_from_the_seed() -> None:
    def spans(seed: int) -> list[Span]:
        bench = TraceBench(0.5, seed)
        for number in range(20):
            worked(bench, KEY._replace(job=JobId(f"job-{number}")))
        return bench.spans

    assert spans(1) == spans(1)
    assert spans(1) != spans(2)


def test_another_jobs_poll_is_not_taken_for_its_own() -> None:
    bench = TraceBench()
    bench.at(1, ev.PollEnded(NODE, 0.5, JobId("skipped")))
    bench.at(2, ev.JobClaimed(KEY, "m"))
    bench.at(3, ev.ResultLost(KEY, "x"))
    assert [span.name for span in bench.spans] == ["job"]
    assert bench.times("job") == (2, 3)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_book, "MAX_OPEN", 3)
    monkeypatch.setattr(tracing, "MAX_OPEN", 3)
    bench = TraceBench()
    keys = [JobKey(SourceId("s"), NodeId("n"), JobId(f"{number}")) for number in range(5)]
    for key in keys:
        bench.at(0, ev.JobClaimed(key, "m"))
    assert [bench.book.context(key) is not None for key in keys] == [False, False, True, True, True]
    for key in keys:
        bench.at(1, ev.ResultAccepted(key, 1.0, 1, already=False))
    assert len(bench.spans) == 2 * 3


@pytest.mark.parametrize("make", [lambda: EVENTS, lambda: tuple(reversed(EVENTS))])
def test_no_order_of_events_is_too_much(make: Callable[[], tuple[ev.Event, ...]]) -> None:
    bench = TraceBench()
    for event in make():
        bench.at(1, event)
    bench.tracing.finish()
    assert bench.told == []
