"""The generator's eye on itself, and the clock that its figures are read by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.figures.health import Health
from node.loadtest.figures.recorder import Recorder
from node.ports.clock import Clock
from node.runtime.signals import Signal

LAG: Final = "lag"
"""The worst delay of the event loop since the last tick, in seconds: a maximum of the series."""

CPU: Final = "cpu"
"""The CPU time of this process since the last tick, in cores: a gauge of the series."""

_LEAST: Final = 0.1
"""The least part of a tick that is one."""


class SelfWatch:
    """Measures how late the event loop is and what the process uses, and folds all figures once a second.

    ``now`` is the recorder's clock; ``cpu_s`` gives the CPU time that the process has used, in seconds; ``gauges``
    levels to note at each tick, and ``on_tick`` is called after it.
    """

    def __init__(
        self,
        recorder: Recorder,
        health: Health,
        clock: Clock,
        now: Callable[[], float],
        policy: DriverPolicy,
        cpu_s: Callable[[], float],
        gauges: Callable[[], Mapping[str, float]],
        on_tick: Callable[[], object] = lambda: None,
    ) -> None:
        self.is_judging = True
        """Whether the generator is held to what is found: not when the load is over, lest a long wait for open jobs make
        up for what it could not do in a short one."""
        self._recorder = recorder
        self._health = health
        self._clock = clock
        self._now = now
        self._policy = policy
        self._cpu_s = cpu_s
        self._gauges = gauges
        self._on_tick = on_tick
        self._lag_s = 0.0
        self.levels: Mapping[str, float] = {}
        """All levels as of the last tick: the gauges, and `LAG` and `CPU`."""

    async def watch_loop(self, stop: Signal) -> None:
        """Look how late a timer comes, again and again."""
        while True:
            due = self._clock.monotonic() + self._policy.lag_s
            if await stop.wait(self._policy.lag_s):
                return
            lag_s = max(0.0, self._clock.monotonic() - due)
            self._lag_s = max(self._lag_s, lag_s)
            if self.is_judging:
                self._health.loop_lag(lag_s, self._policy.lag_s)

    async def tick(self, stop: Signal) -> None:
        """Fold the figures once a second, and at the end."""
        self._recorder.begin()
        at, used_s = self._clock.monotonic(), self._cpu_s()
        while not await stop.wait(self._to_next_tick_s()):
            now, now_used_s = self._clock.monotonic(), self._cpu_s()
            cpu = (now_used_s - used_s) / max(now - at, 1e-6)
            if self.is_judging:
                self._health.cpu(cpu)
            at, used_s = now, now_used_s
            self._fold({CPU: cpu}, {LAG: self._lag_s})
            self._lag_s = 0.0
            self._on_tick()
        self._fold({}, {LAG: self._lag_s})

    def _to_next_tick_s(self) -> float:
        """Until the recorder's clock begins a new tick: then each cell of the series has one, be it early or late."""
        tick_s = self._policy.tick_s
        left_s = tick_s - self._now() % tick_s
        # A timer may come a millisecond early: what is left is not worth a tick.
        return left_s if left_s > _LEAST * tick_s else left_s + tick_s

    def _fold(self, own: Mapping[str, float], maxima: Mapping[str, float]) -> None:
        gauges = {**self._gauges(), **own}
        self.levels = {**gauges, **maxima}
        self._recorder.tick(gauges, maxima)
