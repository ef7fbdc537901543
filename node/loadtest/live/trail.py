"""How a run stood, second by second: what its displays draw besides what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.loadtest.driver.run import Phase
from node.loadtest.figures.series import Series
from node.loadtest.live.watched import Standing

_COUNTED: Final = ("offered", "submitted", "accepted")


class Trail:
    """The standings of a run under load as a series, and the rates of the last second.

    Levels have the names of the `Standing`'s fields, nodes by state the name ``nodes.<state>``; ``lag_s`` is a maximum.
    A second is drawn at its middle, as `node.loadtest.figures.recorder.Recorder` does. ``now`` gives Unix seconds that no
    step moves.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.series = Series()
        self.rates = dict.fromkeys(_COUNTED, 0.0)
        """Jobs a second, by the names of the `Standing`'s counts."""
        self.begun_at: float | None = None
        """The plan's time 0 in Unix seconds, where the run was seen to begin."""
        self.load_s = 0.0
        """Seconds of the plan that the load has lasted."""
        self._now = now
        self._noted: tuple[float, tuple[int, ...]] | None = None
        self._states: dict[str, None] = {}
        self._is_loaded = False

    def note(self, standing: Standing) -> None:
        """Take a standing of a run that has not ended, as of now; one before the start leaves no trace."""
        if standing.phase is Phase.WAITING:
            return
        now = self._now()
        if self.begun_at is None:
            self.begun_at = now - standing.elapsed_s
        if not self._is_loaded:
            self.load_s = min(max(0.0, standing.elapsed_s), standing.duration_s)
            self._is_loaded = standing.phase is not Phase.LOAD
        counts = (standing.offered, standing.submitted, standing.accepted)
        before, past = self._noted or (now - max(1.0, standing.elapsed_s), (0,) * len(counts))
        # A change of phase is told between two seconds: it stands for too short a time to be a second's.
        if now - before < _LEAST_S:
            return
        self._noted = (now, counts)
        self.rates = {
            name: (count - earlier) / (now - before)
            for name, count, earlier in zip(_COUNTED, counts, past, strict=True)
        }
        self._draw(now - min(1.0, now - before) / 2, standing)

    def _draw(self, at: float, standing: Standing) -> None:
        series = self.series
        for name in ("queued", "working", "in_flight", "outbox", "cpu", "planned_nodes"):
            series.gauge(name, at, getattr(standing, name))
        series.maximum("lag_s", at, standing.lag_s)
        self._states |= dict.fromkeys(standing.states)
        for state in self._states:
            series.gauge(f"nodes.{state}", at, standing.states.get(state, 0))


_LEAST_S: Final = 0.5
"""A rate is not taken over less."""
