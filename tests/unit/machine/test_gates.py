from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from node.domain.events import BreakerChanged, EngineCalled
from node.domain.presence import Presence, describe
from node.domain.states import Hold, Life
from node.machine.engine_gates import EngineGate, FailureStreakGate, FailureStreakPolicy
from node.machine.gates import DiskGate, IdleOnlyGate, IdleOnlyPolicy, MemoryGate, MemoryPolicy
from node.machine.gpu import Gpu
from node.ports.gates import ClaimGate
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.machine.doubles import Told, a_sample, claimed, ended, gone, lost, there


def test_each_gate_stands_for_a_hold_of_its_own() -> None:
    clock = VirtualClock()
    gates: list[ClaimGate] = [
        MemoryGate(MemoryPolicy()),
        DiskGate(1),
        IdleOnlyGate(IdleOnlyPolicy(), clock),
        EngineGate((), clock),
        FailureStreakGate(FailureStreakPolicy(), clock),
    ]
    assert [gate.hold for gate in gates] == [Hold.MEMORY, Hold.DISK, Hold.GPU_BUSY, Hold.ENGINE, Hold.FAILURES]
    assert not any(gate.closed_because for gate in gates)
    for gate in gates:
        assert describe(Life.RUNNING, gate.hold, busy_slots=0, polling=False) is Presence.PAUSED


def test_memory_closes_above_the_limit_and_opens_well_below_it() -> None:
    gate = MemoryGate(MemoryPolicy(max_ratio=0.9, hysteresis_ratio=0.1))
    closed = []
    for used in (0.85, 0.9, 0.95, 0.85, 0.8, 0.85):
        gate.look(a_sample(memory_used_ratio=used))
        closed.append(bool(gate.closed_because))
    assert closed == [False, False, True, True, False, False]


def test_memory_says_how_much_is_used() -> None:
    gate = MemoryGate(MemoryPolicy(max_ratio=0.9))
    gate.look(a_sample(memory_used_ratio=0.97))
    assert gate.closed_because == "97% of the memory is in use, above 90%"


def test_disk_closes_below_the_floor_and_where_nothing_is_known() -> None:
    gate = DiskGate(64_000_000)
    gate.look(a_sample(disk_free_bytes=10_000_000))
    assert gate.closed_because == "the disk has 10 MB left, less than 64 MB"
    gate.look(a_sample(disk_free_bytes=64_000_000))
    assert gate.closed_because == ""
    gate.look(a_sample(disk_free_bytes=None))
    assert gate.closed_because == "the disk of the state folder cannot be measured"


class TestIdleOnly:
    POLICY = IdleOnlyPolicy(busy_ratio=0.3, idle_ratio=0.1, busy_s=10, idle_s=60, settle_s=5)

    def gate(self) -> tuple[IdleOnlyGate, Told, Callable[[float | None], bool]]:
        clock, told = VirtualClock(), Told()
        gate = IdleOnlyGate(self.POLICY, clock)
        told.attach(gate)

        def look(used: float | None) -> bool:
            gpus = (Gpu("still", utilisation_ratio=0.0), Gpu("x", utilisation_ratio=used))
            gate.look(a_sample(clock.monotonic(), gpus=gpus if used is not None else (Gpu("x"),)))
            return bool(gate.closed_because)

        return gate, told, look

    @in_virtual_time
    async def test_closes_when_the_gpu_stays_busy_and_opens_when_it_stays_idle(self) -> None:
        gate, _, look = self.gate()
        closed = []
        for used in (0.9, 0.9, 0.2, 0.3, 0.3, 0.5):
            closed.append(look(used))
            await asyncio.sleep(5)
        assert closed == [False, False, False, False, False, True]
        assert gate.closed_because == "something else uses the GPU: it is busy for 50% of the time"
        closed = []
        for used in (0.05, 0.05, 0.2, 0.05, 0.0, 0.0, 0.0):
            closed.append(look(used))
            await asyncio.sleep(20)
        assert closed == [True, True, True, True, True, True, False]

    @in_virtual_time
    async def test_the_node_s_own_jobs_do_not_close_it(self) -> None:
        _, told, look = self.gate()
        told.emit(claimed(1))
        told.emit(claimed(2))
        for _ in range(5):
            assert not look(1.0)
            await asyncio.sleep(5)
        told.emit(ended(1))
        for _ in range(5):
            assert not look(1.0)
            await asyncio.sleep(5)
        told.emit(lost(2))
        await asyncio.sleep(4)
        assert not look(1.0)
        closed = []
        for _ in range(3):
            await asyncio.sleep(5)
            closed.append(look(1.0))
        assert closed == [False, False, True]

    @in_virtual_time
    async def test_an_old_look_at_the_cards_counts_once(self) -> None:
        gate, _, _ = self.gate()
        for at in (0.0, 5.0, 10.0, 15.0):
            gate.look(a_sample(100 + at, gpus=(Gpu("x", utilisation_ratio=1.0),), gpus_taken_at=100.0))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_a_card_that_stops_telling_opens_it(self) -> None:
        _, _, look = self.gate()
        for _ in range(3):
            look(1.0)
            await asyncio.sleep(5)
        assert look(1.0)
        await asyncio.sleep(5)
        assert not look(None)


class TestEngine:
    @in_virtual_time
    async def test_closes_for_a_while_when_every_engine_is_full(self) -> None:
        told = Told()
        gate = EngineGate(("a", "b"), VirtualClock())
        told.attach(gate)
        told.emit(failed_call(overload=True, engine="a"))
        told.emit(failed_call(overload=True, engine="other"))
        assert gate.closed_because == ""
        told.emit(gone("b", "b is not there"))
        assert gate.closed_because == "a is full; b is not there"
        told.emit(failed_call(engine="a"))
        told.emit(failed_call(refusal=True, engine="a"))
        assert gate.closed_because, "neither a failure nor a refusal says that there is room"
        await asyncio.sleep(5)
        assert gate.closed_because == ""
        told.emit(failed_call(overload=True, engine="a"))
        assert gate.closed_because
        told.emit(failed_call(error="", engine="a"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_closes_when_no_engine_is_left(self) -> None:
        told = Told()
        gate = EngineGate(("a", "b"), VirtualClock())
        told.attach(gate)
        told.emit(gone("a", "a is not there"))
        assert gate.closed_because == ""
        told.emit(gone("b", ""))
        told.emit(there("stored"))
        assert gate.closed_because == "a is not there; b is missing"
        told.emit(there("b"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_closes_while_every_breaker_is_open(self) -> None:
        told = Told()
        gate = EngineGate(("a", "b"), VirtualClock())
        told.attach(gate)
        told.emit(BreakerChanged("a", "m", "open"))
        told.emit(BreakerChanged("a", "n", "open"))
        told.emit(BreakerChanged("other", "n", "open"))
        assert gate.closed_because == ""
        told.emit(gone("b", "b is not there"))
        assert gate.closed_because == "a failed too often, and is left alone for a while; b is not there"
        told.emit(BreakerChanged("a", "m", "half-open"))
        assert gate.closed_because == ""
        told.emit(BreakerChanged("a", "m", "open"))
        assert gate.closed_because
        told.emit(BreakerChanged("a", "m", "closed"))
        told.emit(BreakerChanged("a", "n", "closed"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_an_engine_that_is_tried_again_gets_one_job_at_a_time(self) -> None:
        told = Told()
        gate = EngineGate(("a",), VirtualClock())
        told.attach(gate)
        told.emit(BreakerChanged("a", "m", "half-open"))
        assert gate.closed_because == ""
        told.emit(claimed("1"))
        assert "one job is trying it" in gate.closed_because
        told.emit(ended("another"))
        assert gate.closed_because, "it is another job that ended"
        told.emit(ended("1"))
        assert gate.closed_because == ""
        told.emit(claimed("2"))
        told.emit(lost("2"))
        assert gate.closed_because == ""
        told.emit(claimed("3"))
        told.emit(BreakerChanged("a", "m", "closed"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_an_engine_that_is_tried_again_holds_up_no_other(self) -> None:
        told = Told()
        gate = EngineGate(("a", "b"), VirtualClock())
        told.attach(gate)
        told.emit(BreakerChanged("a", "m", "half-open"))
        told.emit(claimed("1"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_a_model_that_nobody_asked_for_may_yet_work(self) -> None:
        told, offered = Told(), ["m:latest", "n"]
        gate = EngineGate(("a",), VirtualClock(), lambda engine: offered if engine == "a" else ())
        told.attach(gate)
        told.emit(BreakerChanged("a", "m", "open"))
        assert gate.closed_because == ""
        told.emit(BreakerChanged("a", "n:latest", "open"))
        assert gate.closed_because
        offered.append("o")
        assert gate.closed_because == ""


def failed_call(
    *, overload: bool = False, refusal: bool = False, error: str = "broke off", engine: str = "ollama"
) -> EngineCalled:
    return EngineCalled(engine, "m", 1.0, None, error, is_overload=overload, is_refusal=refusal)


class TestFailureStreak:
    def gate(self, failures: int = 3) -> tuple[FailureStreakGate, Told]:
        told = Told()
        gate = FailureStreakGate(FailureStreakPolicy(failures, 60), VirtualClock())
        told.attach(gate)
        return gate, told

    @staticmethod
    async def fail(told: Told, *numbers: int) -> None:
        for number in numbers:
            told.emit(claimed(number))
            await asyncio.sleep(1)
            told.emit(failed_call())
            told.emit(ended(number, "broke off"))

    @in_virtual_time
    async def test_closes_after_a_streak_and_lets_one_job_through(self) -> None:
        gate, told = self.gate()
        await self.fail(told, 1, 2)
        assert gate.closed_because == ""
        await self.fail(told, 3)
        assert gate.closed_because == "3 jobs in a row failed on the engine; the next is tried in a while"
        await asyncio.sleep(60)
        assert gate.closed_because == ""
        told.emit(claimed(4))
        assert gate.closed_because == "3 jobs in a row failed on the engine; one is being tried"
        told.emit(ended(4))
        assert gate.closed_because == ""
        await self.fail(told, 5, 6)
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_a_failed_try_closes_it_again(self) -> None:
        gate, told = self.gate()
        await self.fail(told, 1, 2, 3)
        await asyncio.sleep(60)
        await self.fail(told, 4)
        assert gate.closed_because.startswith("4 jobs")
        await asyncio.sleep(59)
        assert gate.closed_because
        await asyncio.sleep(1)
        assert gate.closed_because == ""

    @pytest.mark.parametrize("how", ["refused", "lost"])
    def test_a_try_that_says_nothing_makes_room_for_the_next(self, how: str) -> None:
        @in_virtual_time
        async def run() -> None:
            gate, told = self.gate()
            await self.fail(told, 1, 2, 3)
            await asyncio.sleep(60)
            told.emit(claimed(4))
            told.emit(claimed(5))
            await asyncio.sleep(1)
            told.emit(lost(5))
            assert gate.closed_because
            told.emit(ended(4, "a rule forbids it") if how == "refused" else lost(4))
            assert gate.closed_because == ""

        run()

    @in_virtual_time
    async def test_a_job_that_is_done_ends_the_streak(self) -> None:
        gate, told = self.gate()
        await self.fail(told, 1, 2)
        told.emit(claimed(3))
        told.emit(ended(3))
        await self.fail(told, 4, 5)
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_only_failures_of_the_engine_count(self) -> None:
        gate, told = self.gate(1)
        told.emit(failed_call())
        await asyncio.sleep(1)
        told.emit(claimed(1))
        told.emit(failed_call(overload=True))
        told.emit(failed_call(refusal=True))
        told.emit(failed_call(error=""))
        told.emit(ended(1, "the engine is full"))
        assert gate.closed_because == ""

    @in_virtual_time
    async def test_a_failure_counts_however_long_its_result_waited_for_the_disk(self) -> None:
        gate, told = self.gate(1)
        told.emit(claimed(1))
        await asyncio.sleep(1)
        told.emit(failed_call())
        await asyncio.sleep(500)
        told.emit(ended(1, "broke off", took_s=1.0))
        assert gate.closed_because

    @in_virtual_time
    async def test_with_no_limit_it_never_closes(self) -> None:
        gate, told = self.gate(0)
        await self.fail(told, *range(1, 30))
        assert gate.closed_because == ""
