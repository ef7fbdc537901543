from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from node.domain.events import HoldsChanged, Notice, PollStarted
from node.domain.ids import NodeId
from node.domain.states import Hold
from node.observability.bus import MAX_FAILURES, EventBus
from node.observability.last_resort import to_stderr

NODE = NodeId("node-1")
POLL = PollStarted(NODE, 0.5)
NOTICE = Notice("tests", "hello")


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def bus(told: Told) -> EventBus:
    return EventBus(told)


def fail(event: object) -> None:
    raise ValueError(f"the node is {event}")


def test_handlers_get_events_of_their_kind_in_the_order_they_subscribed(bus: EventBus) -> None:
    seen: list[tuple[str, object]] = []
    bus.subscribe(PollStarted, lambda event: seen.append(("first", event)))
    bus.subscribe(PollStarted, lambda event: seen.append(("second", event)))
    bus.subscribe(Notice, lambda event: seen.append(("notice", event)))

    bus.emit(POLL)
    bus.emit(HoldsChanged(NODE, Hold.PAUSED))

    assert seen == [("first", POLL), ("second", POLL)]


def test_a_subscriber_object_is_attached_and_detached_whole(bus: EventBus) -> None:
    seen: list[object] = []

    class Both:
        def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
            return {PollStarted: seen.append, Notice: seen.append}

    detach = bus.attach(Both())
    bus.emit(POLL)
    bus.emit(NOTICE)
    detach()
    bus.emit(POLL)

    assert seen == [POLL, NOTICE]


def test_a_failing_handler_hurts_nobody_and_is_told_once_without_its_message(bus: EventBus, told: Told) -> None:
    seen: list[object] = []
    bus.subscribe(PollStarted, fail)
    bus.subscribe(PollStarted, seen.append)

    bus.emit(POLL)
    bus.emit(POLL)

    assert seen == [POLL, POLL]
    assert bus.failures == 2
    [line] = told.lines
    assert "fail for PollStarted raised ValueError" in line
    assert "node-1" not in line


def test_a_handler_that_only_fails_is_cut_off_and_that_is_told(bus: EventBus, told: Told) -> None:
    seen: list[object] = []
    bus.subscribe(PollStarted, fail)
    bus.subscribe(PollStarted, seen.append)

    for _ in range(MAX_FAILURES + 5):
        bus.emit(POLL)

    assert bus.failures == MAX_FAILURES
    assert len(seen) == MAX_FAILURES + 5
    assert "cut off" in told.lines[-1]


def test_a_success_in_between_keeps_a_handler(bus: EventBus) -> None:
    calls = 0

    def fail_mostly(_: object) -> None:
        nonlocal calls
        calls += 1
        if calls % MAX_FAILURES:
            raise ValueError

    bus.subscribe(PollStarted, fail_mostly)
    for _ in range(3 * MAX_FAILURES):
        bus.emit(POLL)

    assert calls == 3 * MAX_FAILURES


def test_handlers_may_emit_subscribe_and_end_their_subscription(bus: EventBus) -> None:
    seen: list[object] = []

    def once(event: PollStarted) -> None:
        seen.append(event)
        end()
        bus.subscribe(PollStarted, lambda _: seen.append("later"))
        bus.emit(NOTICE)

    end = bus.subscribe(PollStarted, once)
    bus.subscribe(Notice, seen.append)

    bus.emit(POLL)
    assert seen == [POLL, NOTICE]
    bus.emit(POLL)
    assert seen == [POLL, NOTICE, "later"]
    end()


def test_the_last_resort_survives_a_closed_stderr(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    to_stderr("a line")
    assert capsys.readouterr().err == "a line\n"

    monkeypatch.setattr("sys.stderr", None)
    to_stderr("nobody hears this")
