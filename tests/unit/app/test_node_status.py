"""What a node's port tells, from the events that its parts told."""

from __future__ import annotations

import pytest

from node.app.engine_watch import EngineWatch
from node.app.node_status import NodeFacts, NodeStatus
from node.domain.events import (
    BreakerChanged,
    EngineCalled,
    EngineChanged,
    HoldsChanged,
    JobClaimed,
    JobEnded,
    LifeChanged,
    ModelsAnnounced,
    Notice,
    PollEnded,
    ResultAccepted,
)
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import OutboxPolicy
from node.domain.presence import Presence
from node.domain.results import Failure, FinishedJob
from node.domain.states import Hold, Life, LifeInput
from node.machine.catalogue import CataloguePolicy, ModelCatalogue
from node.machine.engine_gates import EngineGate
from node.monitors.node_monitor import NodeMonitor
from node.observability.status_document import hold_names
from node.outbox.memory import MemoryOutbox
from tests.unit.executors.doubles import HandClock
from tests.unit.machine.doubles import MemoryLibrary, Told

NODE = NodeId("n1")
READY_POLL_S = 60.0


class Bench:
    """A status, and the bus that feeds it."""

    def __init__(self, slots: int = 2, outbox: OutboxPolicy | None = None, allowed: tuple[str, ...] = ()) -> None:
        self.clock = HandClock()
        self.bus = Told()
        monitor = NodeMonitor(self.clock, [NODE])
        self.outbox = MemoryOutbox(outbox or OutboxPolicy(), self.clock)
        self.gate = EngineGate(["one", "two"], self.clock)
        self.libraries = [MemoryLibrary(name).have("m", name) for name in ("one", "two")]
        policy = CataloguePolicy(allowed=allowed)
        self.catalogues = [ModelCatalogue(library, policy, self.clock, self.bus) for library in self.libraries]
        engines = EngineWatch(self.gate, self.catalogues, self.bus)
        facts = NodeFacts(NODE, "box", slots, READY_POLL_S)
        self.source = NodeStatus(facts, monitor, self.outbox, engines, self.clock)
        for listener in (self.gate, engines):
            self.bus.attach(listener)
        self.bus.attach(monitor)
        self.bus.attach(self.source)

    async def runs(self) -> None:
        await self.look()
        self.bus.emit(LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING))
        self.bus.emit(LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING))

    async def look(self) -> None:
        for each in self.catalogues:
            await each.refresh()

    def polled(self) -> None:
        self.bus.emit(PollEnded(NODE, 0.01, None))

    def claims(self, number: int) -> JobKey:
        key = JobKey(SourceId("gateway"), NODE, JobId(str(number)))
        self.bus.emit(JobClaimed(key, "m"))
        return key

    def detail(self, name: str) -> str:
        (found,) = (check.detail for check in self.source.checks() if check.name == name)
        return found

    def wrong(self) -> dict[str, str]:
        return {check.name: check.detail for check in self.source.checks() if not check.ok}


async def test_a_node_that_has_not_begun_is_not_ready() -> None:
    bench = Bench()
    assert set(bench.wrong()) == {"registered", "polled", "models"}
    status = bench.source.status()
    assert (status.life, status.presence, status.last_poll_age_s) == (Life.NEW, Presence.INITIALIZING, None)
    assert status.outbox.depth == 0
    assert status.outbox.oldest_age_s is None


async def test_a_node_that_runs_and_polls_is_ready_until_its_polls_stay_away() -> None:
    bench = Bench()
    await bench.runs()
    assert bench.wrong() == {"polled": "no poll was answered yet"}
    bench.polled()
    assert bench.wrong() == {}
    bench.clock.now += READY_POLL_S
    assert bench.wrong() == {}
    bench.clock.now += 1
    assert bench.wrong() == {"polled": "the last poll was answered 61 s ago"}
    assert bench.source.status().last_poll_age_s == READY_POLL_S + 1


async def test_a_full_node_need_not_poll() -> None:
    bench = Bench(slots=2)
    await bench.runs()
    bench.polled()
    bench.clock.now += 10 * READY_POLL_S
    bench.claims(1)
    assert set(bench.wrong()) == {"polled"}
    bench.claims(2)
    assert bench.wrong() == {}
    assert bench.source.status().slots_used == bench.source.status().slots_total == 2


@pytest.mark.parametrize("hold", [Hold.PAUSED, Hold.GPU_BUSY])
async def test_who_holds_it_back_on_purpose_leaves_it_ready(hold: Hold) -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    bench.bus.emit(HoldsChanged(NODE, hold))
    bench.clock.now += 10 * READY_POLL_S
    assert bench.wrong() == {}
    assert bench.source.checks()[1].detail == f"it need not poll: {hold_names(hold)[0]}"
    bench.bus.emit(HoldsChanged(NODE, Hold.NOTHING))
    assert bench.wrong() == {}, "its next poll is still under way"
    bench.bus.emit(HoldsChanged(NODE, Hold.BACK_OFF))
    bench.clock.now += READY_POLL_S - 1
    assert bench.wrong() == {}
    bench.bus.emit(HoldsChanged(NODE, Hold.NOTHING))
    bench.clock.now += 2
    assert set(bench.wrong()) == {"polled"}, "failed polls are no excuse"


@pytest.mark.parametrize(("hold", "named"), [(Hold.MEMORY, "memory"), (Hold.FAILURES, "failures")])
async def test_trouble_that_keeps_it_from_polling_is_named(hold: Hold, named: str) -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    bench.bus.emit(HoldsChanged(NODE, hold))
    bench.clock.now += READY_POLL_S + 1
    assert bench.wrong() == {"polled": f"the last poll was answered 61 s ago, and none is made: {named}"}


async def test_draining_is_not_ready() -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    bench.bus.emit(LifeChanged(NODE, Life.RUNNING, LifeInput.DRAIN, Life.DRAINING))
    assert set(bench.wrong()) == {"registered", "draining"}


async def test_one_engine_of_two_is_enough_whichever_was_heard_of() -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    bench.bus.emit(EngineChanged("two", available=False, reason="two is gone"))
    assert bench.wrong() == {}, "the other was well from the start, and nobody told of it"
    assert bench.detail("engine") == "jobs go to one; two is gone"
    bench.bus.emit(EngineChanged("one", available=False, reason="nobody answers"))
    assert bench.wrong() == {"engine": "nobody answers; two is gone"}
    bench.bus.emit(EngineChanged("one", available=True, reason=""))
    assert bench.wrong() == {}
    engines = {engine.name: (engine.available, engine.reason) for engine in bench.source.status().engines}
    assert engines == {"one": (True, ""), "two": (False, "two is gone")}


async def test_engines_that_nothing_was_heard_of_are_told_too() -> None:
    bench = Bench()
    await bench.runs()
    assert [(engine.name, engine.available) for engine in bench.source.status().engines] == [
        ("one", True),
        ("two", True),
    ]


async def test_who_has_nothing_to_offer_is_not_ready_and_says_why_once() -> None:
    bench = Bench(allowed=("nosuch",))
    await bench.runs()
    bench.polled()
    because = "ALLOWED_MODELS leaves out all that one has (2); ALLOWED_MODELS leaves out all that two has (2)"
    assert bench.wrong() == {"models": f"no model is on offer: {because}"}
    for _ in range(2):
        bench.bus.emit(ModelsAnnounced(NODE, ()))
    (told,) = bench.bus.of(Notice)
    assert told.is_trouble
    assert because in told.text
    bench.bus.emit(ModelsAnnounced(NODE, ("m",)))
    assert len(bench.bus.of(Notice)) == 1


async def test_an_engine_without_models_and_one_that_is_silent_offer_nothing() -> None:
    bench = Bench()
    bench.libraries[0].models.clear()
    bench.libraries[1].down = "two is not there"
    assert "one has not told yet" in bench.wrong()["models"]
    await bench.runs()
    bench.polled()
    assert bench.wrong()["models"] == "no model is on offer: one has no models; have it fetch one; two is not there"
    bench.libraries[0].have("m")
    await bench.look()
    assert "models" not in bench.wrong()
    assert bench.detail("models") == "models on offer: 1"


async def test_engines_that_fail_are_not_ready_and_full_ones_are() -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    for engine in ("one", "two"):
        bench.bus.emit(EngineCalled(engine, "m", 0.1, None, "queue full", is_overload=True))
    assert bench.gate.closed_because == "one is full; two is full"
    assert bench.wrong() == {}
    for engine in ("one", "two"):
        bench.bus.emit(BreakerChanged(engine, "m", "open", "it failed"))
    assert bench.wrong() == {
        "engine": "; ".join(f"{name} failed too often, and is left alone for a while" for name in ("one", "two"))
    }


async def test_a_disk_with_too_little_room_is_not_ready_at_once() -> None:
    bench = Bench()
    await bench.runs()
    bench.polled()
    bench.bus.emit(HoldsChanged(NODE, Hold.DISK))
    assert bench.wrong() == {"disk": "there is too little room to take on work"}
    bench.bus.emit(HoldsChanged(NODE, Hold.NOTHING))
    assert bench.wrong() == {}


async def test_an_outbox_that_takes_nothing_is_not_ready() -> None:
    bench = Bench(outbox=OutboxPolicy(max_results=1))
    await bench.runs()
    bench.polled()
    key = JobKey(SourceId("gateway"), NODE, JobId("1"))
    await bench.outbox.put(FinishedJob(key, Failure("it broke", "m"), 0.0, 0.0))
    assert bench.wrong() == {"disk": "no result can be kept"}


async def test_breakers_are_told_while_they_are_out_of_order() -> None:
    bench = Bench()
    bench.bus.emit(BreakerChanged("one", "m:1b", "open", "it failed"))
    bench.bus.emit(BreakerChanged("one", "m:7b", "half-open"))
    engine = bench.source.status().engines[0]
    assert engine.breakers == {"m:1b": "open", "m:7b": "half-open"}
    bench.bus.emit(BreakerChanged("one", "m:1b", "closed"))
    engine = bench.source.status().engines[0]
    assert engine.breakers == {"m:7b": "half-open"}


async def test_jobs_and_models_are_counted_and_named() -> None:
    bench = Bench()
    await bench.runs()
    bench.bus.emit(ModelsAnnounced(NODE, ("a", "b")))
    good, bad = bench.claims(1), bench.claims(2)
    bench.bus.emit(JobEnded(good, "ollama", "m", 1.0, 5, ""))
    bench.bus.emit(JobEnded(bad, "", "m", 1.0, None, "it broke"))
    bench.bus.emit(ResultAccepted(good, 0.1, already=False, attempts=1))
    status = bench.source.status()
    assert status.models == ("a", "b")
    told = {name: count for name, count in status.jobs.items() if count}
    assert told == {"received": 2, "succeeded": 1, "failed": 1, "accepted": 1}
    assert (status.node, status.worker, status.slots_used) == (NODE, "box", 0)


async def test_the_outbox_tells_its_oldest() -> None:
    bench = Bench()
    for number, ago_s in ((1, 30.0), (2, 5.0)):
        key = JobKey(SourceId("gateway"), NODE, JobId(str(number)))
        at = bench.clock.wall() - ago_s
        await bench.outbox.put(FinishedJob(key, Failure("it broke", "m"), at, at))
    told = bench.source.status().outbox
    assert told.depth == 2
    assert told.oldest_age_s == 30.0
