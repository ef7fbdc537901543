"""The program, telling of every call by which the thread of its event loop waits for something while nodes run.

``python -m tests.integration.blocking.watched PLANT FILE ARGUMENTS``: what was found is written to FILE, a line each;
PLANT is a blocking call to commit in every poll, or ``nothing``.
"""

from __future__ import annotations

import asyncio
import colorsys
import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from node.app.assembly import Fleet
from node.cli.main import main
from node.domain.jobs import Job
from node.sources.gateway import GatewaySource

BLOCKING = frozenset(
    {
        *("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.chmod", "shutil.copyfile"),
        *("sqlite3.connect", "subprocess.Popen", "os.system", "socket.getaddrinfo", "import"),
    }
)
"""Audit events (docs.python.org/3/library/audit_events.html) of calls that wait for a disk, a process or a name."""

PLANTS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "sleep": lambda: time.sleep(0.001),
    "file": lambda: Path(__file__).read_text(),
    "process": lambda: subprocess.run(["true"], check=True),
    "import": lambda: importlib.reload(colorsys),
}

found: list[str] = []


class _Watch:
    """Whether the fleet runs, and in which thread."""

    thread: int | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in BLOCKING and threading.get_ident() == _Watch.thread:
        found.append(f"{event} {arguments[:1]} at {_place(sys._getframe(1))}")


def _place(frame: FrameType | None) -> str:
    """The frames that lead there, innermost first; no source is read for it, which would be a wait of its own."""
    places: list[str] = []
    while frame is not None and len(places) < 8:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(places)


def _watch_sleeps() -> None:
    sleep = time.sleep

    def watched(seconds: float) -> None:
        if threading.get_ident() == _Watch.thread:
            found.append(f"time.sleep ({seconds:g},) at {_place(sys._getframe(1))}")
        sleep(seconds)

    time.sleep = watched  # type: ignore[assignment]


def _watch_runs() -> None:
    run = Fleet.run

    async def watched(self: Fleet) -> None:
        _Watch.thread = threading.get_ident()
        try:
            await run(self)
        finally:
            _Watch.thread = None

    Fleet.run = watched  # type: ignore[method-assign]


def _plant(what: Callable[[], object]) -> None:
    claim = GatewaySource.claim

    async def planted(self: GatewaySource, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        what()
        await asyncio.sleep(0)
        return await claim(self, still_wanted)

    GatewaySource.claim = planted  # type: ignore[method-assign]


if __name__ == "__main__":
    _watch_runs()
    _watch_sleeps()
    _plant(PLANTS[sys.argv[1]])
    sys.addaudithook(_audit)
    code = main(sys.argv[3:])
    _Watch.thread = None
    Path(sys.argv[2]).write_text("\n".join(found))
    sys.exit(code)
