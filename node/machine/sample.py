"""What a machine is doing at a moment, and how that is measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from node.machine.cgroup import Cgroup
from node.machine.gpu import Gpu, GpuReading, GpuSource


@dataclass(frozen=True, slots=True)
class MachineSample:
    """A look at the machine. Ratios are from 0 to 1; ``taken_at`` is the event loop's time of the look.

    ``cpu_ratio`` is of all the machine's cores, ``process_cpu_ratio`` of one core, so that it may be above 1; both
    are over the time since the look before. ``memory_used_ratio`` is the container's where its limit is nearer than
    the machine's. ``disk_free_bytes`` is None where the disk of the state folder cannot be measured. The graphics
    cards may have been looked at before, at ``gpus_taken_at``.
    """

    taken_at: float
    cpu_ratio: float
    process_cpu_ratio: float
    rss_bytes: int
    memory_used_ratio: float
    memory_total_bytes: int
    disk_free_bytes: int | None
    gpus: tuple[Gpu, ...] = ()
    gpus_taken_at: float = 0.0
    notes: tuple[str, ...] = ()


class MachineReader:
    """Takes samples. Its calls block: they are for a thread, one at a time.

    ``state_folder`` names the disk that is measured; where it does not exist yet, the nearest folder above it does.
    """

    def __init__(self, state_folder: Path, gpus: GpuSource, cgroup: Cgroup | None = None) -> None:
        self._state_folder = state_folder
        self._gpus = gpus
        self._cgroup = cgroup or Cgroup()
        self._process: psutil.Process | None = None
        self._reading = GpuReading()
        self._reading_at = 0.0
        self._cpu_before: tuple[float, float] | None = None

    def read(self, now: float, *, with_gpus: bool = True) -> MachineSample:
        """Look at the machine; without the graphics cards their figures are those of the last look at them.

        The first sample's shares of processor time are 0: there is no look before it.

        Raises:
            OSError: the system does not tell.
            psutil.Error: the same.
        """
        if self._process is None:
            self._process = psutil.Process()
        if with_gpus:
            self._reading = self._gpus.read()
            self._reading_at = now
        memory_ratio, memory_total = self._memory()
        return MachineSample(
            taken_at=now,
            cpu_ratio=self._cpu_ratio(),
            process_cpu_ratio=self._process.cpu_percent() / 100,
            rss_bytes=self._process.memory_info().rss,
            memory_used_ratio=memory_ratio,
            memory_total_bytes=memory_total,
            disk_free_bytes=free_bytes(self._state_folder),
            gpus=self._reading.gpus,
            gpus_taken_at=self._reading_at,
            notes=self._reading.notes,
        )

    def close(self) -> None:
        """Let go of the graphics cards' drivers."""
        self._gpus.close()

    def _cpu_ratio(self) -> float:
        # psutil's own figure is kept for each thread apart, and a pool's thread may be a new one.
        times: dict[str, float] = psutil.cpu_times()._asdict()
        # Linux counts a guest's time as the user's too.
        total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
        idle = times["idle"] + times.get("iowait", 0.0)
        before, self._cpu_before = self._cpu_before, (total, idle)
        if before is None or total <= before[0]:
            return 0.0
        return min(1.0, max(0.0, 1 - (idle - before[1]) / (total - before[0])))

    def _memory(self) -> tuple[float, int]:
        """The share in use, and the bytes that it is of: the machine's, or the container's where that is fuller."""
        host = psutil.virtual_memory()
        ratio, total = (host.total - host.available) / host.total, host.total
        limit = self._cgroup.memory()
        if limit is not None and limit.limit_bytes < total and limit.used_bytes / limit.limit_bytes > ratio:
            return min(1.0, limit.used_bytes / limit.limit_bytes), limit.limit_bytes
        return ratio, total


def free_bytes(folder: Path, measure: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> int | None:
    """What is left for the program on a folder's disk; None where that cannot be measured."""
    for place in (folder, *folder.absolute().parents):
        try:
            return measure(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
