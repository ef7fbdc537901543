from __future__ import annotations

from node.domain.events import EngineChanged
from node.executors.presence import EnginePresence
from tests.support.events import RecordingSink
from tests.unit.executors.doubles import HandClock


def test_every_change_is_told_once_and_one_caller_looks_again() -> None:
    clock, sink = HandClock(), RecordingSink()
    presence = EnginePresence("ollama", 5.0, clock, sink)
    assert (presence.missing_because, presence.look_now(), sink.events) == ("", False, [])

    presence.missing("nothing answers")
    presence.missing("still nothing")
    assert presence.missing_because == "still nothing"
    assert sink.events == [EngineChanged("ollama", available=False, reason="nothing answers")]
    assert not presence.look_now()

    clock.now += 5.0
    assert [presence.look_now() for _ in range(3)] == [True, False, False]
    clock.now += 4.9
    assert not presence.look_now()

    presence.found()
    presence.found()
    assert presence.missing_because == ""
    assert sink.events[1:] == [EngineChanged("ollama", available=True, reason="")]
    clock.now += 100.0
    assert not presence.look_now()
