"""The program as a process, as its users run it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from node.cli.main import main
from tests.support.waiting import wait_until_sync

ROOT = Path(__file__).parents[2]
MAIN = str(ROOT / "main.py")

QUICK = {
    "LLM_NODE_NODE__POLL_CYCLE_S": "0.5",
    "LLM_NODE_WORKLOAD__JOBS_PER_S": "25",
    "LLM_NODE_STORED__DELAY_MIN_S": "0.05",
    "LLM_NODE_STORED__DELAY_MAX_S": "0.2",
    "LLM_NODE_SYNTHETIC__TOKENS_PER_S": "1000",
    "LLM_NODE_FLEET__POINTS_CHECK_S": "2",
    "LLM_NODE_FLEET__STATUS_REPORT_S": "1",
    "LLM_NODE_FLEET__RECOVERY_MIN_S": "0.5",
    "LLM_NODE_FLEET__RECOVERY_MAX_S": "1.5",
    "MAX_START_DELAY": "1",
    "NODE_SPACING_DELAY": "0.05",
}
"""Settings under which a run of a few seconds shows everything at work."""


def environment(**more: str) -> dict[str, str]:
    # Without the last, every start of the program would compile all of it.
    foreign = ("LLM_NODE_", "API_", "COV_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **more}


def run(*arguments: str, cwd: Path = ROOT, timeout_s: float = 50, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, MAIN, *arguments],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class Said(io.StringIO):
    """What was printed; whoever masks it closes it when he goes, and it is read nevertheless."""

    def close(self) -> None:
        pass


def told(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """`run` without a process, whose start takes half a second of a core: for a command that begins nothing."""
    out, err = Said(), Said()
    with (
        mock.patch.dict(os.environ, environment(**env), clear=True),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


class Running:
    """A command that runs; its output goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def says(self, text: str, timeout_s: float = 20) -> None:
        """Wait until it has said this."""
        wait_until_sync(
            lambda: text in self.output or self.process.poll() is not None, timeout_s, f"{text!r} in:\n{self.output}"
        )
        assert text in self.output, f"it ended with {self.process.poll()} and said:\n{self.output}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 25) -> int:
        return self.process.wait(timeout_s)


@contextmanager
def running(*arguments: str, log: Path, cwd: Path = ROOT, **env: str) -> Iterator[Running]:
    """Run a command within the block; if it still runs at the end it is told to stop, and killed if it does not."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, MAIN, *arguments],
            cwd=cwd,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def summary(path: Path) -> Mapping[str, Any]:
    """A summary file, after a look at what must hold for each of them."""
    content: Mapping[str, Any] = json.loads(path.read_text())
    jobs = content["jobs"]
    assert content["schema"] == 1
    assert jobs["answered"] == jobs["succeeded"] + jobs["failed"]
    assert jobs["succeeded"] == jobs["stored"] + jobs["engine"] + jobs["synthetic"]
    assert content["crashes"] == 0
    return content


def url_in(text: str) -> str:
    """The first loopback address that was told."""
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    assert found is not None, text
    return found[0]
