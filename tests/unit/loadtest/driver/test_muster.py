"""How many nodes are in which state, crashes included."""

from __future__ import annotations

from node.domain.events import HoldsChanged, JobClaimed, LifeChanged
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.states import Hold, Life, LifeInput
from node.loadtest.driver.muster import Count, Muster
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from tests.support.virtual_time import VirtualClock, in_virtual_time

NODES = [NodeId(f"n{number}") for number in range(4)]


def mustered() -> tuple[Muster, EventBus]:
    bus, monitor = EventBus(), NodeMonitor(VirtualClock())
    muster = Muster(monitor)
    bus.attach(monitor)
    bus.attach(muster)
    for node in NODES:
        begin(bus, node)
    return muster, bus


def begin(bus: EventBus, node: NodeId) -> None:
    bus.emit(LifeChanged(node, Life.NEW, LifeInput.START, Life.STARTING))
    bus.emit(LifeChanged(node, Life.STARTING, LifeInput.READY, Life.RUNNING))


def work(bus: EventBus, node: NodeId) -> None:
    bus.emit(JobClaimed(JobKey(SourceId("gateway"), node, JobId(f"of {node}")), "m"))


@in_virtual_time
async def test_nodes_are_counted_by_what_a_person_reads() -> None:
    muster, bus = mustered()
    work(bus, NODES[0])
    bus.emit(HoldsChanged(NODES[1], Hold.BACK_OFF))
    assert muster.count() == Count(4, {"idle": 2, "processing": 1, "backing off": 1})


@in_virtual_time
async def test_who_crashed_is_neither_at_work_nor_shut_down_until_it_comes_back() -> None:
    muster, bus = mustered()
    work(bus, NODES[0])
    bus.emit(LifeChanged(NODES[3], Life.RUNNING, LifeInput.DRAINED, Life.STOPPED))
    muster.crashed(NODES[:2])
    assert muster.count() == Count(1, {"idle": 1, "shutdown": 1, "crashed": 2})
    begin(bus, NODES[0])
    assert muster.count() == Count(2, {"idle": 2, "shutdown": 1, "crashed": 1})
