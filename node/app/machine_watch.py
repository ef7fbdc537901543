"""The machine under a node, watched: samples, the lag of the event loop, and the gates that both close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from node.machine.engine_gates import FailureStreakGate, FailureStreakPolicy
from node.machine.gates import DiskGate, IdleOnlyGate, IdleOnlyPolicy, MemoryGate, MemoryPolicy
from node.machine.gpu import GpuSource
from node.machine.loop_lag import LoopLag
from node.machine.sample import MachineReader, MachineSample
from node.machine.sampler import MachineSampler, SamplerPolicy
from node.observability.bus import EventBus
from node.observability.live_metrics import GpuFigures, MachineFigures
from node.ports.clock import Clock
from node.ports.gates import ClaimGate
from node.runtime.signals import Signal
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class MachineWatch:
    """What watches the machine; ``gates`` are those that it and the course of the jobs close."""

    sampler: MachineSampler
    lag: LoopLag
    gates: tuple[ClaimGate, ...]

    def latest(self) -> MachineSample | None:
        """The last sample; None before the first."""
        return self.sampler.latest

    def figures(self) -> MachineFigures:
        """The machine as metrics tell of it."""
        sample = self.sampler.latest
        if sample is None:
            return MachineFigures(None, None, None, None, (), self.lag.max_s)
        gpus = tuple(
            GpuFigures(gpu.name, gpu.utilisation_ratio, gpu.vram_used_bytes, gpu.vram_total_bytes)
            for gpu in sample.gpus
        )
        return MachineFigures(
            sample.cpu_ratio,
            sample.rss_bytes,
            sample.memory_used_ratio,
            sample.disk_free_bytes,
            gpus,
            self.lag.max_s,
        )


@contextlib.asynccontextmanager
async def machine_watch(
    settings: Settings, folder: Path, gpus: GpuSource, bus: EventBus, clock: Clock
) -> AsyncIterator[MachineWatch]:
    """Watch within the block."""
    wanted = settings.gates
    memory, disk = MemoryGate(MemoryPolicy(wanted.max_memory)), DiskGate(settings.outbox.min_free_bytes)
    streak = FailureStreakGate(FailureStreakPolicy(wanted.failure_streak, wanted.failure_rest_s), clock)
    bus.attach(streak)
    gates: list[ClaimGate] = [memory, disk, streak]
    listeners: list[Callable[[MachineSample], object]] = [memory.look, disk.look]
    if wanted.idle_only:
        # What counts as used must never count as idle, or the gate would open on what closed it.
        idle_ratio = min(IdleOnlyPolicy().idle_ratio, wanted.gpu_busy)
        policy = IdleOnlyPolicy(wanted.gpu_busy, idle_ratio, idle_s=wanted.gpu_idle_s)
        idle = IdleOnlyGate(policy, clock)
        bus.attach(idle)
        gates.append(idle)
        listeners.append(idle.look)
    reader = MachineReader(folder, gpus)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="machine")
    sampler = MachineSampler(SamplerPolicy(sample_s=wanted.sample_s), reader, thread, clock, bus, listeners)
    watch = MachineWatch(sampler, LoopLag(clock), tuple(gates))
    stop, loop = Signal(), asyncio.get_running_loop()
    tasks = [
        loop.create_task(sampler.run(stop), name="machine samples"),
        loop.create_task(watch.lag.run(stop), name="loop lag"),
    ]
    try:
        yield watch
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        thread.shutdown(wait=False)
        reader.close()
