"""The linters of others, run on the files of deploy/. Where one is missing, its tests are skipped by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

_TIMEOUT_S = 25


def run(tool: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """What the tool says on both streams; a test fails with that when it is not content."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which(tool, path=places)
    if program is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)],
        input=stdin,
        env={"PATH": places, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{tool} {' '.join(map(str, arguments))}\n{said}"
    return said
