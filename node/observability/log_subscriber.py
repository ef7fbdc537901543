"""Turns events into log lines, and a flood of them into a few."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from node.observability.log_files import Topic
from node.observability.log_wording import WORDINGS, Entry
from node.observability.logging import Logs
from node.observability.sampling import Sampler, Sampling
from node.ports.clock import Clock
from node.runtime.signals import Signal

TROUBLE: Final = Sampling(burst=10, window_s=10.0)
"""Warnings and errors: when a thousand nodes lose the gateway, they all say the same."""

ROUTINE: Final = Sampling(burst=200, window_s=10.0)
"""Everything below: twenty lines a second are more than anybody reads."""

_Kind = tuple[int, Topic, str]


class LogSubscriber:
    """A `Subscriber` that writes events to the logs.

    Of one kind of line only so many are written in a time (`TROUBLE`, `ROUTINE`); a line with a ``count`` tells
    of the others. At level ``debug`` everything is written. `run` tells counts in time; without it they come
    with the next line of their kind.
    """

    def __init__(self, logs: Logs, clock: Clock) -> None:
        self._logs = logs
        self._clock = clock
        self._loggers = {topic: logs.logger(topic) for topic in Topic}
        self._sampler: Sampler[_Kind] = Sampler()

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`; kinds that the level keeps out anyway are not listened to."""
        level = self._logs.level
        return {
            kind: partial(self._handle, wording.describe)
            for kind, wording in WORDINGS.items()
            if wording.highest >= level
        }

    async def run(self, stop: Signal) -> None:
        """Tell what was held back, window by window, until ``stop`` is set; then tell the rest."""
        while not await stop.wait(ROUTINE.window_s / 2):
            self.tell_held_back(self._clock.monotonic())
        self.tell_held_back(None)

    def tell_held_back(self, now: float | None) -> None:
        """Write how many lines were held back in windows that ended by ``now`` (the loop's time; None: in all)."""
        for kind, count in self._sampler.held_back(now):
            self._tell(kind, count)

    def _handle(self, describe: Callable[[Any], Entry], event: object) -> None:
        entry = describe(event)
        if entry.level < self._logs.level:
            return
        if self._logs.level > logging.DEBUG:
            kind = (entry.level, entry.topic, entry.event)
            sampling = TROUBLE if entry.level >= logging.WARNING else ROUTINE
            held = self._sampler.admit(kind, sampling, self._clock.monotonic())
            if held is None:
                return
            if held:
                self._tell(kind, held)
        self._loggers[entry.topic].log(entry.level, entry.event, notable=entry.notable, **entry.fields)

    def _tell(self, kind: _Kind, count: int) -> None:
        level, topic, event = kind
        self._loggers[topic].log(level, f"{event}: more of the same, not shown", count=count)
