"""What happened between two ticks of a load test, for displays that show a second at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from node.loadtest.driver.run import Phase
from node.loadtest.figures.figures import Measure
from node.loadtest.live.watched import WatchedRun

TIMED: Final = {"poll": Measure.POLL, "result": Measure.RESULT, "job": Measure.JOB}
"""The latencies that are shown, by the names that thresholds have for them."""

PERCENTS: Final = (50.0, 99.0)

_MOST_AGO_S: Final = 2.0
_LEAST_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Second:
    """Jobs a second; percentiles in seconds by name and percentage, None where nothing was measured."""

    offered_per_s: float
    submitted_per_s: float
    accepted_per_s: float
    latencies_s: dict[tuple[str, float], float | None]


class Pace:
    """Remembers the last ``length`` seconds of a run, each from a `take` to the next, and what happened when."""

    def __init__(self, length: int = 1) -> None:
        self.seconds: deque[Second] = deque(maxlen=length)
        self.marks: list[tuple[float, str]] = []
        """Faults and pauses, each with its time in seconds of the plan."""
        self._before: tuple[float, int, int, int] | None = None

    def take(self, run: WatchedRun, now: float, wall: float) -> bool:
        """Look at a run that has just ticked; whether that makes a second. A change of phase ticks in between.

        ``now`` is in seconds of any steady clock, ``wall`` in Unix seconds.
        """
        standing = run.standing
        for mark in run.figures.series.marks[len(self.marks) :]:
            # A step of the machine's clock does not count for more than ticks are apart.
            ago_s = 0.0 if standing.is_paused else min(max(0.0, wall - mark.at), _MOST_AGO_S)
            self.marks.append((standing.elapsed_s - ago_s, mark.text))
        at = (now, standing.offered, standing.submitted, standing.accepted)
        before = self._before or (now - 1.0, 0, 0, 0)
        took_s = now - before[0]
        if took_s < _LEAST_S or standing.phase is Phase.OVER:
            return False
        self._before = at
        offered, submitted, accepted = ((new - old) / took_s for new, old in zip(at[1:], before[1:], strict=True))
        self.seconds.append(Second(offered, submitted, accepted, _latencies(run)))
        return True


def _latencies(run: WatchedRun) -> dict[tuple[str, float], float | None]:
    series = run.figures.series
    found: dict[tuple[str, float], float | None] = {}
    for name, measure in TIMED.items():
        last = series.slices(measure)[-1:]
        for percent in PERCENTS:
            found[name, percent] = last[0].percentile_s(percent) if last and last[0] is not None else None
    return found
