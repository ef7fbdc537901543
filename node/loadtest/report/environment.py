"""What program a load test was, and what it ran on: figures mean little without."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import psutil

from node import __version__
from node.machine.probe import os_name
from node.runtime.build import of_what_kind

_CPUINFO: Final = Path("/proc/cpuinfo")


def environment(cpuinfo: Path = _CPUINFO) -> dict[str, str]:
    """Names and texts for people, in order. It reads files: not for a running event loop."""
    cores = psutil.cpu_count() or 1
    memory_gb = psutil.virtual_memory().total / 2**30
    return {
        "program": f"llm-worker-node {of_what_kind(__version__)}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{os_name()}, {platform.machine()}",
        "processor": f"{cores} × {_processor(cpuinfo)}",
        "memory": f"{memory_gb:.1f} GiB",
    }


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or "unknown"
