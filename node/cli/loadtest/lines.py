"""A load test without a live screen: a line now and then, fit for files and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console

from node.cli.loadtest.pace import Pace, Second
from node.loadtest.driver.run import Phase
from node.loadtest.live.watched import Standing, WatchedRun
from node.loadtest.plan.quantities import duration_text

_EVERY: Final = 5
"""Ticks from one line to the next."""


class Lines:
    """A `node.app.loadtest.load_test.LoadDisplay` of a line every five seconds, for each fault, and at the end of the load.

    ``now`` is in seconds of a steady clock.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._pace = Pace()
        self._ticks = 0
        self._phase = Phase.WAITING

    def say(self, text: str) -> None:
        """See `LoadDisplay.say`."""
        self._console.print(text, markup=False, soft_wrap=True)

    async def begin(self, run: WatchedRun) -> None:
        """See `LoadDisplay.begin`."""
        run.on_tick(lambda: self._tick(run))

    def leave(self) -> None:
        """See `LoadDisplay.leave`: it takes nothing of the terminal."""

    def _tick(self, run: WatchedRun) -> None:
        before, self._phase = self._phase, run.standing.phase
        if self._phase is Phase.SETTLING and before is not self._phase:
            self.say(f"{at_text(run.standing)}: the load is over; jobs that are open are awaited")
        told = len(self._pace.marks)
        is_second = self._pace.take(run, self._now(), time.time())
        for at_s, text in self._pace.marks[told:]:
            self.say(f"{_at(at_s)}: {text}")
        self._ticks += is_second
        if is_second and self._ticks % _EVERY == 0:
            self.say(_line(run.standing, self._pace.seconds[-1]))


def at_text(standing: Standing) -> str:
    """The plan's time, for people."""
    return _at(standing.elapsed_s)


def _at(plan_s: float) -> str:
    return duration_text(round(max(0.0, plan_s)))


def _line(standing: Standing, second: Second) -> str:
    phase = "paused" if standing.is_paused else standing.phase.value
    crashed = f" ({standing.states['crashed']} crashed)" if "crashed" in standing.states else ""
    planned = f" of {duration_text(standing.duration_s)}" if standing.phase is Phase.LOAD else ""
    return (
        f"{at_text(standing)}{planned}, {phase}:"
        f" {standing.nodes} of {standing.planned_nodes} nodes run{crashed},"
        f" {standing.submitted} jobs submitted ({second.submitted_per_s:.0f}/s),"
        f" {standing.accepted} done ({second.accepted_per_s:.0f}/s),"
        f" {standing.queued} queued, {standing.working} working"
    )
