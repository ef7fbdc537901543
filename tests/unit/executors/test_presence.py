from __future__ import annotations

from node.domain.events import EngineChanged
from node.executors.presence import EnginePresence
from tests.support.events import RecordingSink
from tests.unit.executors.doubles import HandClock


def test_every_change_is_told_once_and_one_caller_looks_again() -> None:
    clock, sink = HandClock(), RecordingSink()
    presence = EnginePresence("ollama", 5.0, clock, sink)
    assert (presence.missing_because, presence.look_now(), sink.events) == ("", False, [])
    assert not presence.is_there

    presence.missing("nothing answers")
    presence.missing("still nothing")
    assert presence.missing_because == "still nothing"
    assert sink.events == [EngineChanged("ollama", available=False, reason="nothing answers")]
    assert not presence.look_now()

    for wait_s in (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        clock.now += wait_s - 0.01
        assert not presence.look_now()
        clock.now += 0.01
        assert [presence.look_now() for _ in range(3)] == [True, False, False]

    presence.found()
    presence.found()
    assert presence.missing_because == ""
    assert presence.is_there
    assert sink.events[1:] == [EngineChanged("ollama", available=True, reason="")]
    clock.now += 100.0
    assert not presence.look_now()


def test_one_that_goes_again_is_looked_for_as_soon_again() -> None:
    clock = HandClock()
    presence = EnginePresence("ollama", 1.0, clock, RecordingSink())
    for _ in range(2):
        presence.missing("nothing answers")
        for _ in range(4):
            clock.now += 1.0
            assert presence.look_now()
        presence.missing("nothing answers a job that had asked before")
        clock.now += 0.9
        assert not presence.look_now()
        presence.found()
    presence.missing("nothing answers")
    clock.now += 0.25
    assert presence.look_now()
