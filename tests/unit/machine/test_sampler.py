from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from node.domain.events import Crash, Notice
from node.machine.cgroup import Cgroup
from node.machine.gpu import Gpu
from node.machine.loop_lag import LoopLag
from node.machine.sample import MachineReader, MachineSample, free_bytes
from node.machine.sampler import MachineSampler, SamplerPolicy
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.support.virtual_time import VirtualClock, VirtualLoop, in_virtual_time
from tests.support.waiting import wait_until
from tests.unit.machine.doubles import GB, FixedGpus, Told, a_sample
from tests.unit.machine.test_probe import group
from tests.unit.runtime.inline import InlineExecutor, SlowExecutor


class ScriptedReader(MachineReader):
    def __init__(self) -> None:
        super().__init__(Path(), FixedGpus())
        self.reads: list[tuple[float, bool]] = []
        self.error: Exception | None = None
        self.notes: tuple[str, ...] = ()

    def read(self, now: float, *, with_gpus: bool = True) -> MachineSample:
        self.reads.append((now, with_gpus))
        if self.error is not None:
            raise self.error
        return a_sample(now, notes=self.notes)


def sampler_of(
    reader: MachineReader,
    told: Told,
    executor: Executor,
    listeners: tuple[Callable[[MachineSample], object], ...] = (),
) -> MachineSampler:
    policy = SamplerPolicy(sample_s=5, gpu_sample_s=10)
    return MachineSampler(policy, reader, executor, VirtualClock(), told, listeners)


class TestLoop:
    @in_virtual_time
    async def test_samples_again_and_again_the_cards_less_often(self) -> None:
        reader, stop = ScriptedReader(), Signal()
        seen: list[MachineSample] = []
        sampler = sampler_of(reader, Told(), InlineExecutor(), (seen.append,))
        assert not sampler.latest
        task = asyncio.create_task(sampler.run(stop))
        began = VirtualClock().monotonic()
        await asyncio.sleep(17)
        assert [(at - began, gpus) for at, gpus in reader.reads] == [(0, True), (5, False), (10, True), (15, False)]
        assert sampler.latest is seen[-1]
        assert len(seen) == 4
        stop.set()
        await task

    @in_virtual_time
    async def test_a_look_that_hangs_holds_up_neither_the_loop_nor_its_end(self) -> None:
        reader, stop = ScriptedReader(), Signal()
        executor = SlowExecutor(12)
        sampler = sampler_of(reader, Told(), executor)
        task = asyncio.create_task(sampler.run(stop))
        await asyncio.sleep(16)
        assert executor.calls == 2
        assert sampler.latest is not None
        began = VirtualClock().monotonic()
        stop.set()
        await task
        assert VirtualClock().monotonic() == began
        await asyncio.sleep(30)
        assert executor.calls == 2

    @in_virtual_time
    async def test_what_cannot_be_read_is_told_once_and_tried_again(self) -> None:
        reader, told, stop = ScriptedReader(), Told(), Signal()
        sampler = sampler_of(reader, told, InlineExecutor())
        reader.error = psutil.AccessDenied(1)
        task = asyncio.create_task(sampler.run(stop))
        await asyncio.sleep(11)
        assert [notice.text for notice in told.of(Notice)] == ["the machine's state cannot be read: AccessDenied"]
        reader.error, reader.notes = None, ("no driver",)
        await asyncio.sleep(10)
        assert sampler.latest is not None
        assert [notice.text for notice in told.of(Notice)][1:] == ["no driver"]
        stop.set()
        await task

    @in_virtual_time
    async def test_a_defect_is_told_and_does_not_end_it(self) -> None:
        reader, told, stop = ScriptedReader(), Told(), Signal()
        sampler = sampler_of(reader, told, InlineExecutor())
        reader.error = ZeroDivisionError("secret figures")
        task = asyncio.create_task(sampler.run(stop))
        await asyncio.sleep(1)
        assert [crash.error for crash in told.of(Crash)] == ["ZeroDivisionError"]
        reader.error = None
        await asyncio.sleep(5)
        assert sampler.latest is not None
        stop.set()
        await task

    async def test_on_a_thread_with_the_real_machine(self, tmp_path: Path) -> None:
        told, stop, gpus = Told(), Signal(), FixedGpus(Gpu("card", 10, 1, 0.5))
        threads: list[str] = []
        gpus.on_read = lambda: threads.append(threading.current_thread().name)
        reader = MachineReader(tmp_path / "not" / "there" / "yet", gpus)
        with ThreadPoolExecutor(1, "sampler") as executor:
            sampler = MachineSampler(SamplerPolicy(0.05, 0.05), reader, executor, SystemClock(), told)
            task = asyncio.create_task(sampler.run(stop))
            await wait_until(lambda: gpus.reads > 2)
            stop.set()
            await task
        sample = sampler.latest
        assert sample is not None
        assert {name.split("_")[0] for name in threads} == {"sampler"}
        assert 0 < sample.memory_used_ratio <= 1
        assert sample.rss_bytes > 2**20
        assert sample.disk_free_bytes is not None
        assert sample.gpus == (Gpu("card", 10, 1, 0.5),)
        assert sample.memory_total_bytes > 0
        assert sample.cpu_ratio >= 0
        assert sample.process_cpu_ratio >= 0
        assert not told.events
        reader.close()
        assert gpus.closed == 1


class TestReader:
    def test_processor_time_is_measured_from_one_look_to_the_next_on_whatever_thread(self, tmp_path: Path) -> None:
        reader = MachineReader(tmp_path, FixedGpus(), Cgroup(tmp_path))
        assert reader.read(0.0).cpu_ratio == 0
        until = time.process_time() + 0.25
        while time.process_time() < until:
            pass
        with ThreadPoolExecutor(1) as executor:
            sample = executor.submit(reader.read, 1.0).result()
        assert 0 < sample.cpu_ratio <= 1
        assert 0 < sample.process_cpu_ratio < 100

    def test_a_container_s_memory_counts_where_it_is_fuller(self, tmp_path: Path) -> None:
        half = psutil.virtual_memory().total // 2
        files = {"cgroup.controllers": "", "memory.max": str(half), "memory.current": str(half - 1)}
        sample = MachineReader(tmp_path, FixedGpus(), group(tmp_path, "0::/", files)).read(0)
        assert sample.memory_used_ratio == pytest.approx(1.0)
        assert sample.memory_total_bytes == half
        files = {**files, "memory.current": "0"}
        sample = MachineReader(tmp_path, FixedGpus(), group(tmp_path, "0::/", files)).read(0)
        assert sample.memory_total_bytes == psutil.virtual_memory().total

    def test_figures_of_cards_are_kept_between_looks_at_them(self, tmp_path: Path) -> None:
        gpus = FixedGpus(Gpu("card"))
        reader = MachineReader(tmp_path, gpus, Cgroup(tmp_path))
        assert reader.read(1.0).gpus_taken_at == 1.0
        sample = reader.read(2.0, with_gpus=False)
        assert (sample.taken_at, sample.gpus_taken_at, sample.gpus) == (2.0, 1.0, (Gpu("card"),))
        assert gpus.reads == 1

    def test_a_disk_that_cannot_be_measured(self, tmp_path: Path) -> None:
        def fails(path: Path) -> int:
            raise PermissionError(13, "no")

        def never(path: Path) -> int:
            raise FileNotFoundError(2, "no")

        assert free_bytes(tmp_path / "a" / "b", lambda path: 7 if path == tmp_path else never(path)) == 7
        assert free_bytes(tmp_path, fails) is None
        assert free_bytes(tmp_path, never) is None
        assert (free_bytes(tmp_path) or 0) < 2**20 * GB


class TestLoopLag:
    @in_virtual_time
    async def test_a_loop_that_moves_is_not_late(self) -> None:
        stop, lag = Signal(), LoopLag(VirtualClock())
        assert (lag.last_s, lag.max_s) == (0, 0)
        task = asyncio.create_task(lag.run(stop))
        await asyncio.sleep(10.1)
        assert lag.last_s == pytest.approx(0)
        assert lag.max_s == pytest.approx(0)
        stop.set()
        await task

    @in_virtual_time
    async def test_what_blocks_the_loop_shows_at_once_and_is_forgotten_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        stop, lag = Signal(), LoopLag(VirtualClock(), interval_s=0.5, window_s=60)
        task = asyncio.create_task(lag.run(stop))
        await asyncio.sleep(0.25)
        loop.advance(2.0)
        assert lag.last_s == pytest.approx(1.75)
        assert lag.max_s == pytest.approx(1.75)
        await asyncio.sleep(0)
        await asyncio.sleep(5)
        assert lag.last_s == pytest.approx(0)
        assert lag.max_s == pytest.approx(1.75)
        now = loop.time()
        assert lag.worst_since_s(now - 10) == pytest.approx(1.75)
        assert lag.worst_since_s(now - 1) == pytest.approx(0)
        await asyncio.sleep(60)
        assert lag.max_s == pytest.approx(0)
        stop.set()
        await task
        loop.advance(5.0)
        assert lag.last_s == pytest.approx(0)
