"""A load test to look at, made of real figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.buckets import COARSE
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.figures.series import Mark
from node.loadtest.figures.slices import Slice
from node.loadtest.live.watched import Standing
from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from node.loadtest.thresholds.threshold import Outcome

PLAN = """
name = "{name}"
duration = "60s"
[nodes]
[[nodes.stages]]
kind = "storm"
to = 1200
[[jobs.arrivals]]
kind = "constant"
rate = 10
[engine]
output_tokens = 10
tokens_per_s = 10
"""

AT = 1_700_000_000.0
"""When the plan began, in Unix seconds."""


class Shown:
    """Implements `WatchedRun`; `tick` lets a second pass."""

    def __init__(self, name: str = "trial") -> None:
        self.plan: Plan = scenario_of(PLAN.format(name=name), "plan.toml").plan
        self.gateway = "http://127.0.0.1:4000"
        self.figures = Figures()
        self.verdict: Verdict | None = None
        self.outcomes: Sequence[Outcome] = ()
        self.orders: list[str] = []
        self._hearers: list[Callable[[], object]] = []
        self.standing = Standing(
            phase=Phase.WAITING,
            is_paused=False,
            elapsed_s=-0.5,
            duration_s=60.0,
            nodes=0,
            planned_nodes=0,
            states={},
            offered=0,
            submitted=0,
            accepted=0,
            queued=0,
            working=0,
            in_flight=0,
            outbox=0,
            lag_s=0.0,
            cpu=0.0,
        )

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        self._hearers.append(hear)

        def end() -> None:
            if hear in self._hearers:
                self._hearers.remove(hear)

        return end

    @property
    def is_heard(self) -> bool:
        return bool(self._hearers)

    def start(self) -> None:
        self.orders.append("start")

    def pause(self) -> None:
        self.orders.append("pause")

    def resume(self) -> None:
        self.orders.append("resume")

    def stop(self) -> None:
        self.orders.append("stop")

    def stand(self, **changes: object) -> None:
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]

    def tick(self, **changes: object) -> None:
        self.stand(**changes)
        for hear in list(self._hearers):
            hear()

    def measured(self, at_s: float, measure: Measure, *seconds: float) -> None:
        """These latencies in that second of the plan."""
        counts: dict[int, int] = {}
        for value in seconds:
            index = COARSE.index(round(value * 1e6))
            counts[index] = counts.get(index, 0) + 1
        self.figures.series.latencies(measure, AT + at_s, Slice(counts))

    def mark(self, at_s: float, text: str) -> None:
        self.figures.series.mark(Mark(AT + at_s, text))

    def loaded(self, seconds: int = 20) -> Shown:
        """Run for some seconds, with something to show everywhere."""
        for at_s in range(seconds):
            for measure in (Measure.POLL, Measure.RESULT, Measure.JOB):
                self.measured(at_s, measure, *[0.002 + 0.001 * at_s] * 99, 1.5)
            self.tick(
                phase=Phase.LOAD,
                elapsed_s=at_s + 1.0,
                nodes=1180,
                planned_nodes=1200,
                states={"idle": 700, "processing": 480, "crashed": 20},
                offered=10 * (at_s + 1),
                submitted=10 * (at_s + 1),
                accepted=8 * (at_s + 1),
                queued=3,
                working=480,
                in_flight=2,
                lag_s=0.0021,
                cpu=0.42,
            )
        return self
