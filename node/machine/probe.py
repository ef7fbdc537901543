"""The truth about the hardware, as the gateway is told of it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

import psutil

from node.domain.identity import Hardware
from node.machine.cgroup import Cgroup, cores
from node.machine.gpu import Gpu, GpuSource, GpuSources, joined_name
from node.machine.gpu_amd import AmdGpus
from node.machine.gpu_apple import AppleGpus
from node.machine.gpu_nvidia import NvidiaGpus, load_nvml

_MB = 2**20


def gpu_sources() -> GpuSources:
    """The sources that this system can have."""
    if sys.platform == "darwin":
        return GpuSources((AppleGpus(psutil.virtual_memory().total),))
    return GpuSources((NvidiaGpus(load_nvml()), AmdGpus()))


def probe_hardware(
    gpus: GpuSource, cgroup: Cgroup | None = None, on_note: Callable[[str], object] = lambda _: None
) -> Hardware:
    """Look at the machine; in a container its limits count, where they are lower than what the host has.

    Blocks, for some seconds at most: it is for the time before the event loop runs, or for a thread. ``on_note`` is
    told, in a sentence each, what could not be found out; that is no error.
    """
    group = cgroup or Cgroup()
    total = psutil.virtual_memory().total
    ram = min(total, group.memory_limit_bytes() or total)
    reading = gpus.read()
    for note in reading.notes:
        on_note(note)
    return Hardware(
        ram_mb=ram // _MB,
        cpu_cores=cores(_cores_of_host(), group),
        vram_mb=_vram_bytes(reading.gpus, ram) // _MB,
        gpu=joined_name(reading.gpus) or "none",
        os=os_name(),
    )


def os_name() -> str:
    """The operating system as people call it, such as ``Ubuntu 24.04.2 LTS`` or ``macOS 15.1``."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}".strip()
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip() or "unknown"


def _cores_of_host() -> int:
    """Physical cores, of which a set of processors that the process is held to may leave fewer."""
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else physical
    return min(physical, allowed)


def _vram_bytes(gpus: tuple[Gpu, ...], ram_bytes: int) -> int:
    """All cards' own memory, and once the largest that one of them shares with the machine, at most its RAM."""
    own = sum(gpu.vram_total_bytes or 0 for gpu in gpus if not gpu.shares_ram)
    shared = max((gpu.vram_total_bytes or 0 for gpu in gpus if gpu.shares_ram), default=0)
    return own + min(shared, ram_bytes)
