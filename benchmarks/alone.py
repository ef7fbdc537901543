"""A measurement in a process of its own, on a core of its own, whose memory and CPU time are nobody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from benchmarks.cores import bound, on_core
from benchmarks.figures import Unmeasurable
from benchmarks.turns import ROOT

_SAME: Final[Mapping[str, str]] = MappingProxyType({})


def told_by(
    module: str, *flags: str, within_s: float, core: int | None = None, environment: Mapping[str, str] = _SAME
) -> dict[str, Any]:
    """What ``python -m benchmarks.MODULE FLAGS --json`` prints as its last line; ``environment`` is added to this one's.

    Raises:
        Unmeasurable: it failed, or took longer than so many seconds.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *flags, "--json"]
    pinned = bound(*command) if core is None else on_core(core, *command)
    try:
        done = subprocess.run(
            pinned,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unmeasurable(f"{module} took longer than {within_s:g} s") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unmeasurable(f"{module} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    told: dict[str, Any] = json.loads(lines[-1])
    return told
