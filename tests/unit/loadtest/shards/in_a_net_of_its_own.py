"""Programs that listen on more than is good: run where there is no network but the loopback of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]


def run_in_net(module: str, *arguments: str, timeout_s: float) -> Any:
    """The JSON that a module of the tests prints last, run as a program, in a network of its own where that can be had."""
    command = [sys.executable, "-m", module, *arguments]
    if _can_be_alone():
        command = ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "COVERAGE_"))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def _can_be_alone() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


def needs_ray() -> None:
    """Skip the test where Ray is not installed; it is not imported, since it warns and stays."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
