"""Who runs on which core: the server on one, its client on another, so that neither takes the other's time."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NamedTuple

from benchmarks.figures import Unmeasurable


class Cores(NamedTuple):
    """The cores of a measurement, by the kernel's numbers."""

    server: int
    client: int


def two_cores() -> Cores:
    """Two that this process may use.

    Raises:
        Unmeasurable: there are none, or nothing pins a process to one.
    """
    if sys.platform != "linux":
        raise Unmeasurable("processes are pinned to cores, and their time is read from /proc: that takes Linux")
    for tool in ("taskset", "setpriv"):
        if shutil.which(tool) is None:
            raise Unmeasurable(f"{tool} is missing: apt-get install util-linux")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Unmeasurable("two cores are needed, one for the server and one for the client")
    return Cores(cores[0], cores[1])


def bound(*command: str) -> list[str]:
    """The command, which ends when this process does, in whatever way that comes about."""
    return ["setpriv", "--pdeathsig", "TERM", *command]


def on_core(core: int, *command: str) -> list[str]:
    """The command, run there, and `bound`."""
    return bound("taskset", "-c", str(core), *command)
