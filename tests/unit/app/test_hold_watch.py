"""Why a node claims nothing is told: what lasts, once, and as trouble unless somebody asked for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from node.app.hold_watch import LASTS_S, HoldWatch
from node.domain.events import HoldsChanged, Notice
from node.domain.ids import NodeId
from node.domain.states import Hold
from tests.unit.executors.doubles import HandClock
from tests.unit.machine.doubles import Told

NODE = NodeId("n1")


@dataclass
class Gate:
    hold: Hold
    closed_because: str = ""


class Bench:
    def __init__(self, *gates: Gate) -> None:
        self.clock, self.bus = HandClock(), Told()
        self.watch = HoldWatch(NODE, gates, self.clock, self.bus)
        self.bus.attach(self.watch)

    def holds(self, holds: Hold) -> None:
        self.bus.emit(HoldsChanged(NODE, holds))

    def after(self, seconds: float) -> None:
        self.clock.now += seconds
        self.watch.look()

    def told(self) -> list[tuple[str, bool]]:
        return [(notice.text, notice.is_trouble) for notice in self.bus.of(Notice)]


@pytest.mark.parametrize("hold", [Hold.DISK, Hold.MEMORY, Hold.FAILURES, Hold.ENGINE])
def test_trouble_that_lasts_is_told_with_its_reason_and_so_is_its_end(hold: Hold) -> None:
    bench = Bench(Gate(hold, "12 MB are free"), Gate(Hold.GPU_BUSY, "another reason"))
    bench.holds(hold)
    bench.after(LASTS_S - 1)
    assert bench.told() == []
    bench.after(1)
    bench.after(100)
    name = (hold.name or "").lower()
    assert bench.told() == [(f"no jobs are claimed: {name}: 12 MB are free", True)]
    bench.holds(Hold.NOTHING)
    assert bench.told()[1:] == [(f"over after {LASTS_S + 100:.0f} s: {name}", False)]


def test_what_comes_and_goes_is_not_told() -> None:
    bench = Bench()
    for _ in range(20):
        bench.holds(Hold.ENGINE)
        bench.after(LASTS_S - 1)
        bench.holds(Hold.NOTHING)
        bench.after(1)
    assert bench.told() == []


def test_full_slots_failed_polls_and_the_end_are_not_told_here() -> None:
    bench = Bench()
    for hold in (Hold.NO_SLOT, Hold.BACK_OFF, Hold.DRAINING):
        bench.holds(hold)
        bench.after(1000)
    bench.holds(Hold.NOTHING)
    assert bench.told() == []


def test_what_somebody_asked_for_is_told_as_no_trouble() -> None:
    bench = Bench()
    bench.holds(Hold.PAUSED)
    assert bench.told() == [("no jobs are claimed: paused", False)]
    bench.holds(Hold.PAUSED | Hold.GPU_BUSY)
    bench.after(LASTS_S)
    assert bench.told()[1:] == [("no jobs are claimed: gpu-busy", False)]
    bench.holds(Hold.GPU_BUSY)
    assert len(bench.told()) == 3
