"""Real processes, of which none is left behind: not after an error, not after Ctrl+C, not after a kill of the harness."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
MAIN: Final = (str(ROOT / "main.py"),)
"""What `Programs.start` runs as the program itself."""

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment without whatever would steer the program, and with this."""
    # Without its bytecode on disk each of thousands of starts would compile the program anew.
    steering = ("LLM_NODE_", "API_", "COV", "CRASH_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **more}


class Program:
    """One command that runs, the leader of a process group of its own; what it says is in ``output``."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, to it alone as a service manager does; one that has ended hears nothing."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, to its whole group."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def ended(self, within_s: float) -> int | None:
        """Wait for its end; its exit code, or None when it still runs after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self._process.wait()
        return None


class Programs:
    """Starts programs, and kills those that still run when the block ends."""

    def __init__(self) -> None:
        self._started: list[Program] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [program for program in self._started if program.returncode is None]
        for program in running:
            program.kill()
        for program in running:
            await program.ended(10)

    async def start(self, arguments: Sequence[str], folder: Path, output: Path, env: Mapping[str, str]) -> Program:
        """Run Python with these arguments in this folder; what it says is added to ``output``."""
        with output.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=folder,
                env=environment(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_set_free,  # a few system calls, and no lock
            )
        program = Program(process, output)
        self._started = [other for other in self._started if other.returncode is None] + [program]
        return program


def _set_free() -> None:
    """In the new process: end with the harness, and heed SIGINT also where the harness runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
