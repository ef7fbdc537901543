"""The live screen of a load test."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live

from node.cli.loadtest.pace import Pace
from node.cli.loadtest.panel import panel
from node.loadtest.live.watched import WatchedRun

_MOST_COLUMNS: Final = 300
"""Seconds that sparklines can show, on the widest of screens."""


class View:
    """A `node.app.loadtest.load_test.LoadDisplay` on a terminal: figures once a second, below what was said.

    ``now`` is in seconds of a steady clock.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._pace = Pace(_MOST_COLUMNS)
        self._live: Live | None = None
        self._size = console.size
        self._end: Callable[[], None] = lambda: None

    def say(self, text: str) -> None:
        """See `LoadDisplay.say`: above the figures, and kept when they go."""
        (self._live.console if self._live is not None else self._console).print(text, markup=False)

    async def begin(self, run: WatchedRun) -> None:
        """See `LoadDisplay.begin`."""
        self._end = run.on_tick(lambda: self._tick(run))
        self._open()
        self._draw(run)

    def leave(self) -> None:
        """See `LoadDisplay.leave`."""
        self._end()
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _open(self) -> None:
        self._size = self._console.size
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        # A third signal ends the process where it stands: nobody would show the cursor again.
        self._console.show_cursor(show=True)

    def _tick(self, run: WatchedRun) -> None:
        self._pace.take(run, self._now(), time.time())
        self._draw(run)

    def _draw(self, run: WatchedRun) -> None:
        if self._live is None or not _takes_output(self._console):
            return
        if self._console.size != self._size:
            # The terminal has wrapped the lines anew: nobody knows any more how many there are to draw over.
            self._live.stop()
            self._console.clear()
            self._open()
        self._live.update(self._screen(run), refresh=True)

    def _screen(self, run: WatchedRun) -> RenderableType:
        size = self._console.size
        return Group(*panel(run, self._pace, size.width, size.height))


def _takes_output(console: Console) -> bool:
    """False while the terminal is held, as by Ctrl+S: to write would hold the load test, too."""
    try:
        place = console.file.fileno()
    except OSError:
        return True
    return bool(select.select([], [place], [], 0)[1])
