"""A load test to look at, made of real figures."""

from __future__ import annotations

from node.loadtest.driver.run import Phase
from node.loadtest.figures.buckets import COARSE
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.slices import Slice
from node.loadtest.plan.reading import scenario_of
from tests.support.watched_run import PlayedRun

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


class Shown(PlayedRun):
    """A run with something to show."""

    def __init__(self, name: str = "trial") -> None:
        super().__init__(scenario_of(PLAN.format(name=name), "plan.toml").plan, "http://127.0.0.1:4000", AT)

    def measured(self, at_s: float, measure: Measure, *seconds: float) -> None:
        """These latencies in that second of the plan."""
        counts: dict[int, int] = {}
        for value in seconds:
            index = COARSE.index(round(value * 1e6))
            counts[index] = counts.get(index, 0) + 1
        self.figures.series.latencies(measure, AT + at_s, Slice(counts))

    def loaded(self, seconds: int = 20) -> Shown:
        """Run for some seconds, with something to show everywhere."""
        for at_s in range(seconds):
            for measure in (Measure.POLL, Measure.RESULT, Measure.JOB):
                self.measured(at_s, measure, *[0.002 + 0.001 * at_s] * 99, 1.5)
            self.become(
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
