"""Signals, one after the other: drain, abort, exit."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class ShutdownSignals:
    """While entered, the first SIGINT or SIGTERM drains, the second aborts, the third ends the process at once.

    That end is ``os._exit(exit_code)``: nothing is cleaned up. ``received`` counts the signals. Enter it on the
    main thread, within the running loop; the callbacks run on that loop. The former handlers are put back at
    the end.
    """

    def __init__(self, on_drain: Callable[[], None], on_abort: Callable[[], None], exit_code: int) -> None:
        self._steps: list[Callable[[], None]] = [on_drain, on_abort, lambda: os._exit(exit_code)]
        self._former: dict[signal.Signals, Any] = {}
        self.received = 0

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._former[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self.take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number, former in self._former.items():
            loop.remove_signal_handler(number)
            if former is not None:
                signal.signal(number, former)

    def take(self) -> None:
        """Go one step further, as one more signal does."""
        step = self._steps[min(self.received, len(self._steps) - 1)]
        self.received += 1
        step()
