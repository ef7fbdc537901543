from __future__ import annotations

import asyncio
import io
import json
import tempfile
from pathlib import Path
from typing import get_args

import pytest

from node.domain import events as ev
from node.domain.ids import NodeId
from node.observability.bus import EventBus
from node.observability.log_files import Topic
from node.observability.log_subscriber import ROUTINE, TROUBLE, LogSubscriber
from node.observability.log_wording import WORDINGS
from node.observability.logging import ConsolePolicy
from node.runtime.signals import Signal
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.observability.conftest import LogBench
from tests.unit.observability.sample_events import EVENTS, KEY


def bus_into(bench: LogBench, **options: object) -> tuple[EventBus, LogSubscriber]:
    subscriber = LogSubscriber(bench.open(**options), bench.clock)  # type: ignore[arg-type]
    bus = EventBus(bench.told.append)
    bus.attach(subscriber)
    return bus, subscriber


def test_every_kind_of_event_has_its_words() -> None:
    kinds = set(get_args(ev.Event))
    assert set(WORDINGS) == kinds
    assert {type(event) for event in EVENTS} == kinds


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_line_is_above_the_level_its_kind_declares(event: ev.Event) -> None:
    wording = WORDINGS[type(event)]
    assert wording.describe(event).level <= wording.highest
    assert max(WORDINGS[type(e)].describe(e).level for e in EVENTS if type(e) is type(event)) == wording.highest


@pytest.mark.parametrize("json_lines", [True, False])
def test_at_debug_level_every_event_is_a_line(bench: LogBench, json_lines: bool) -> None:
    bus, _ = bus_into(bench, level="debug", json_lines=json_lines)
    for event in EVENTS:
        bus.emit(event)
    assert bench.told == []
    own = [line for topic in Topic if topic is not Topic.GENERAL for line in bench.text(topic).splitlines()]
    fleet = [WORDINGS[type(event)].describe(event).topic is Topic.GENERAL for event in EVENTS]
    assert len(own) == len(EVENTS) - sum(fleet)


def test_each_level_shows_what_it_should(bench: LogBench) -> None:
    bus, _ = bus_into(bench, level="info")
    for event in EVENTS:
        bus.emit(event)
    levels = {(line["event"], line["level"]) for topic in Topic for line in bench.lines(topic)}
    assert ("node running", "info") in levels
    assert ("node recovering", "warning") in levels
    assert ("node failed", "error") in levels
    assert ("poll failed", "warning") in levels
    assert ("job done", "info") in levels
    assert ("job failed", "warning") in levels
    assert ("crash", "error") in levels
    assert ("poll ended", "debug") not in levels
    assert [line["event"] for line in bench.lines(Topic.POINTS)] == ["points"]
    assert {line["event"] for line in bench.lines(Topic.ENGINE_REQUESTS)} == {
        "engine answered",
        "engine failed",
        "engine full",
    }
    assert {line["event"] for line in bench.lines(Topic.CONNECTION_ERRORS)} == {
        "poll failed",
        "step failed",
        "step retried",
        "result delayed",
        "proxy bad",
    }


def test_kinds_the_level_keeps_out_are_not_even_listened_to(bench: LogBench) -> None:
    handlers = LogSubscriber(bench.open(level="warning"), bench.clock).handlers()
    assert ev.PollEnded not in handlers
    assert ev.JobSkipped not in handlers
    assert ev.PollFailed in handlers


@pytest.mark.parametrize("json_lines", [True, False])
def test_the_console_of_one_node_has_troubles_and_its_life_and_no_more(bench: LogBench, json_lines: bool) -> None:
    stream = io.StringIO()
    console = ConsolePolicy(stream, level="warning", notable=True)
    bus, _ = bus_into(bench, console=console, json_lines=json_lines)
    for event in EVENTS:
        bus.emit(event)
    for _ in range(100):
        bus.emit(ev.PollFailed(NodeId("node-1"), 0.1, "HTTP 503", 1.0))
    lines = stream.getvalue().splitlines()
    told = [json.loads(line)["event"] for line in lines] if json_lines else [line.split("] ", 1)[1] for line in lines]
    for wanted in ("node running", "node recovering", "engine available", "engine missing", "breaker closed", "notice"):
        assert any(line.startswith(wanted) for line in told), wanted
    assert sum(line.startswith("poll failed") for line in told) == TROUBLE.burst
    assert not [line for line in told if line.startswith(("job done", "points", "engine answered", "model pull done"))]


def test_the_console_of_a_fleet_has_errors_alone(bench: LogBench) -> None:
    stream = io.StringIO()
    bus, _ = bus_into(bench, console=ConsolePolicy(stream, level="error"))
    for event in EVENTS:
        bus.emit(event)
    assert {json.loads(line)["level"] for line in stream.getvalue().splitlines()} == {"error"}


def test_a_fleet_that_loses_its_gateway_writes_a_few_lines_and_a_count(bench: LogBench) -> None:
    bus, subscriber = bus_into(bench)
    for number in range(1000):
        bus.emit(ev.PollFailed(NodeId(f"node-{number}"), 0.1, "HTTP 503", 1.0))
    assert len(bench.lines(Topic.CONNECTION_ERRORS)) == TROUBLE.burst

    bench.clock.now += TROUBLE.window_s
    bus.emit(ev.PollFailed(NodeId("node-0"), 0.1, "HTTP 503", 1.0))
    told, latest = bench.lines(Topic.CONNECTION_ERRORS)[TROUBLE.burst :]
    assert (told["event"], told["count"]) == ("poll failed: more of the same, not shown", 1000 - TROUBLE.burst)
    assert latest["node"] == "node-0"

    subscriber.tell_held_back(None)
    assert len(bench.lines(Topic.CONNECTION_ERRORS)) == TROUBLE.burst + 2


def test_routine_lines_are_limited_too_and_kinds_do_not_hide_each_other(bench: LogBench) -> None:
    bus, _ = bus_into(bench)
    for _ in range(500):
        bus.emit(ev.JobEnded(KEY, "stored", "m", 0.1, None))
    bus.emit(ev.JobSkipped(KEY, "it runs already"))
    events = [line["event"] for line in bench.lines(Topic.NODES)]
    assert events.count("job done") == ROUTINE.burst
    assert events[-1] == "job skipped"


@in_virtual_time
async def test_counts_are_told_in_time_and_at_the_end() -> None:
    def flood(times: int) -> None:
        for _ in range(times):
            bus.emit(ev.PollFailed(NodeId("node-1"), 0.1, "HTTP 503", 1.0))

    def told() -> list[int]:
        return [line["count"] for line in bench.lines(Topic.CONNECTION_ERRORS) if "count" in line]

    with tempfile.TemporaryDirectory() as folder:
        bench = LogBench(Path(folder))
        clock = VirtualClock()
        subscriber = LogSubscriber(bench.open(), clock)
        bus = EventBus(bench.told.append)
        bus.attach(subscriber)
        stop = Signal()
        task = asyncio.create_task(subscriber.run(stop))
        flood(TROUBLE.burst + 7)
        await asyncio.sleep(TROUBLE.window_s + ROUTINE.window_s)
        assert told() == [7]
        flood(TROUBLE.burst + 3)
        stop.set()
        await task
        assert told() == [7, 3]
        bench.close()
