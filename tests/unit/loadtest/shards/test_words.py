"""What shards and their leader say, and how it travels."""

from __future__ import annotations

import asyncio

import pytest

from node.loadtest.driver.run import Phase, Times
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.recorder import Recorder
from node.loadtest.figures.series import Mark
from node.loadtest.shards.frames import frame, read_frame
from node.loadtest.shards.messages import (
    Failed,
    Finished,
    Leave,
    Order,
    Pause,
    Ready,
    Report,
    Settled,
    Start,
    Stop,
    encoded,
    order_in,
    report_in,
)
from node.loadtest.shards.news import Newsroom, add_news
from node.loadtest.shards.record import from_document, to_document
from tests.unit.loadtest.shards.toy import standing, toy_record

REPORTS: list[Report] = [
    Ready(nodes=("a", "b"), wall=1.5),
    standing(Phase.LOAD, Newsroom(Figures())),
    Settled(),
    Finished(record={"v": 1}),
    Failed(reason="why"),
]
ORDERS: list[Order] = [Start(at=3.25), Leave(), Pause(), Pause(on=False), Stop(), Stop(at_once=True)]


@pytest.mark.parametrize("report", REPORTS, ids=lambda one: one.kind)
def test_reports_come_through(report: Report) -> None:
    assert report_in(encoded(report)) == report


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_orders_come_through(order: Order) -> None:
    assert order_in(encoded(order)) == order


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"kind": "ready"}', b'{"kind": "start", "at": 1, "more": 2}'])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no message"):
        report_in(data)
    with pytest.raises(ValueError, match="no message"):
        order_in(data)


def reader(data: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


async def test_frames_come_one_after_the_other() -> None:
    stream = reader(frame(b"one") + frame(b"") + frame(b"x" * 200_000))
    assert [len(await read_frame(stream) or b"") for _ in range(3)] == [3, 0, 200_000]
    assert await read_frame(stream) is None


async def test_a_frame_that_breaks_off_is_an_end() -> None:
    assert await read_frame(reader(frame(b"whole")[:-1])) is None
    assert await read_frame(reader(b"\0\0")) is None


async def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        await read_frame(reader(frame(b"12345")), most_bytes=4)


def test_a_record_comes_through() -> None:
    record = toy_record(4, Times(10.0, 20.0, 30.0), is_cut_short=True)
    read, defects = from_document(to_document(record, ("a defect",)))
    assert defects == ("a defect",)
    assert (read.times, read.jobs, read.nodes, read.is_cut_short) == (record.times, ("job-4",), ("node-4",), True)
    assert [job.job for job in read.book] == ["job-4", "job-3"]
    assert read.figures.counts == record.figures.counts


@pytest.mark.parametrize("change", [{"v": 99}, {"times": [1]}, {"book": None}, {"figures": {}}, {"jobs": 5}])
def test_what_is_no_record_is_refused(change: dict[str, object]) -> None:
    document = to_document(toy_record(0, Times(1.0, 2.0, 3.0)))
    with pytest.raises(ValueError, match=r"."):
        from_document(document | change)
    with pytest.raises(ValueError, match="no record"):
        from_document({})


def test_news_add_up_to_the_figures() -> None:
    now = [1000.0]
    recorder = Recorder(lambda: now[0])
    newsroom, told = Newsroom(recorder.figures), Figures()
    for second in range(6):
        recorder.offered(second)
        recorder.submitted("job", now[0] - 0.25)  # type: ignore[arg-type]
        recorder.submit_failed("HTTP 500", now[0] - 0.5)
        if second == 3:
            recorder.mark("kill")
        now[0] += 1.0
        recorder.tick({"outbox": float(second)})
        add_news(told, newsroom.latest())
    figures = recorder.figures
    assert told.counts == figures.counts
    assert told.errors.most_common() == figures.errors.most_common()
    assert told.series.marks == figures.series.marks
    # The last second may go on still.
    for name in (Count.OFFERED, Count.SUBMITTED):
        assert told.series.rates(name) == figures.series.rates(name)[:-1]
    assert told.series.levels("outbox") == figures.series.levels("outbox")[:-1]
    assert told.series.percentiles(Measure.SUBMIT, 99) == figures.series.percentiles(Measure.SUBMIT, 99)[:-1]


def test_a_mark_that_each_shard_makes_is_one() -> None:
    told = Figures()
    for at in (10.0, 10.4, 30.0):
        other = Figures()
        other.series.mark(Mark(at, "kill 25%"))
        add_news(told, Newsroom(other).latest())
    assert told.series.marks == [Mark(10.0, "kill 25%"), Mark(30.0, "kill 25%")]


def test_what_is_no_news_is_refused() -> None:
    with pytest.raises(ValueError, match="no news"):
        add_news(Figures(), {})
    with pytest.raises(ValueError, match=r"."):
        add_news(Figures(), {"counts": {"a": "b"}, "errors": {}, "marks": [], "series": {}})
