"""What the figures were taken on."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import resource
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.figures import Unmeasurable
from benchmarks.static_gateway import find_nginx
from node.runtime.build import of_what_kind


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the versions of what takes part; a version is None where the thing is missing."""

    date: str
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str | None]


def facts(peers: dict[str, str | None]) -> Machine:
    """Those of this machine, now."""
    ours = {name: version(name) for name in ("uvloop", "httptools")}
    ours["llm-worker-node"] = of_what_kind(version("llm-worker-node"))
    return Machine(
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={**ours, "nginx": _nginx(), **peers},
    )


def load_average() -> float:
    """Processes that wanted to run, over the last minute."""
    return round(os.getloadavg()[0], 2)


def others_s() -> float:
    """CPU seconds that were not taken by this process or by children of it that have ended; those stolen by others."""
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0)
    ours_s = sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
    return sum(times) - idle_s - getattr(times, "guest_nice", 0.0) - ours_s


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return f"{found[1].strip() if found else platform.processor()}, {platform.machine()}"


def _nginx() -> str | None:
    try:
        told = subprocess.run([find_nginx(), "-v"], capture_output=True, text=True, check=False).stderr
    except Unmeasurable:
        return None
    return told.strip().rpartition("/")[2] or None
