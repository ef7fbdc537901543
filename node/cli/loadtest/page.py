"""The live web page beside what the terminal shows."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from node.app.loadtest.load_test import LoadDisplay
from node.loadtest.live.page import live_page
from node.loadtest.live.watched import WatchedRun
from node.manager.shutdown import ShutdownSignals
from node.runtime.signals import Signal

_DEFAULT_PORT: Final = 8089
"""Where people who know Locust look for it."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Where the page is; with ``autostart`` the run waits for nobody."""

    port: int
    autostart: bool


def page_options(port: int | None, *, autostart: bool) -> PageOptions:
    """None is the usual port, 0 a free one."""
    return PageOptions(_DEFAULT_PORT if port is None else port, autostart)


class WithPage:
    """A `LoadDisplay` that opens the page when there is a run to show; ``stack`` closes it."""

    def __init__(self, display: LoadDisplay, options: PageOptions, stack: AsyncExitStack) -> None:
        self._display = display
        self._options = options
        self._stack = stack
        self._url = ""

    @property
    def autostart(self) -> bool:
        """Whether the run waits for nobody."""
        return self._options.autostart

    def say(self, text: str) -> None:
        """See `LoadDisplay.say`."""
        self._display.say(text)

    async def begin(self, run: WatchedRun) -> None:
        """See `LoadDisplay.begin`."""
        page = live_page(run, self._options.port)
        self._url = await self._stack.enter_async_context(page)
        awaited = "" if self._options.autostart else "; the run begins when Start is pressed there, Ctrl+C ends it"
        self.say(f"Live page: {self._url}{awaited}.")
        await self._display.begin(run)

    def leave(self) -> None:
        """See `LoadDisplay.leave`."""
        self._display.leave()

    async def linger(self, exit_code_at_third_signal: int) -> None:
        """Keep the page until a signal."""
        over = Signal()
        with ShutdownSignals(over.set, over.set, exit_code_at_third_signal):
            self.say(f"The live page stays at {self._url} until Ctrl+C.")
            await over.wait()
