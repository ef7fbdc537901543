from __future__ import annotations

import gc

from node.app.fleet import SettledFleet
from node.domain.events import LifeChanged
from node.domain.ids import NodeId
from node.domain.states import Life, LifeInput
from node.observability.bus import EventBus
from node.runtime.garbage import relaxed_collection


def ready(bus: EventBus, number: int) -> None:
    bus.emit(LifeChanged(NodeId(f"node-{number}"), Life.STARTING, LifeInput.READY, Life.RUNNING))


def frozen_after(bus: EventBus, number: int) -> bool:
    fresh: list[int] = []
    ready(bus, number)
    # Where no collection runs in between, what is young stays so until it is frozen. To count the frozen takes long.
    return all(one is not fresh for one in gc.get_objects(generation=0))


def test_a_fleet_is_set_aside_at_each_doubling_and_when_it_is_whole() -> None:
    bus = EventBus()
    bus.attach(SettledFleet(120))
    with relaxed_collection():
        assert [number for number in range(1, 131) if frozen_after(bus, number)] == [50, 100, 120]


def test_a_node_that_comes_back_is_counted_once() -> None:
    bus = EventBus()
    bus.attach(SettledFleet(2))
    with relaxed_collection():
        assert [frozen_after(bus, number) for number in (1, 1, 1, 2, 2)] == [False, False, False, True, False]
    assert gc.get_freeze_count() == 0
