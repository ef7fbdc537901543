"""A load test that stands as a test wants it, made of real figures."""

from __future__ import annotations

import random

from node.loadtest.driver.run import Phase
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.histogram import Tally
from node.loadtest.figures.slices import Slice
from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from tests.support.watched_run import PlayedRun

BEGUN_AT = 1_790_000_000
"""Unix time of the known run's beginning."""

PLAN = """
name = {name}
description = "Known figures"
duration = "60s"
thresholds = ["p99.poll < 50ms", "jobs.lost == 0"]
[nodes]
[[nodes.stages]]
kind = "storm"
to = 20
[[jobs.arrivals]]
kind = "constant"
rate = "20/s"
[[faults]]
kind = "kill"
at = "10s"
share = "30%"
restart_after = "6s"
[[faults]]
kind = "unreachable"
at = "40s"
for = "5s"
"""


def plan_of(name: str = "known run") -> Plan:
    quoted = '"' + "".join(f"\\u{ord(char):04x}" for char in name) + '"'
    return scenario_of(PLAN.format(name=quoted), "plan.toml").plan


class KnownRun(PlayedRun):
    """A run whose seconds are told one by one; it stands at ``now``, Unix seconds."""

    def __init__(self, plan: Plan | None = None, gateway: str = "http://127.0.0.1:8000") -> None:
        super().__init__(plan or plan_of(), gateway, BEGUN_AT)
        self.now = float(BEGUN_AT)

    def second(self, at_s: int, latencies_s: dict[Measure, list[float]], **changes: object) -> None:
        """A second of the run, which ends at ``at_s``: twenty jobs are offered, nineteen accepted."""
        at = BEGUN_AT + at_s - 0.5
        self.now = BEGUN_AT + float(at_s)
        for name, jobs in ((Count.OFFERED, 20), (Count.SUBMITTED, 20), (Count.CLAIMED, 21), (Count.ACCEPTED, 19)):
            self.figures.series.count(name, at, jobs)
            self.figures.counts[name] += jobs
        self.figures.series.gauge("in_flight", at, 2)
        for measure, values in latencies_s.items():
            tally = Tally()
            for value in values:
                tally.record(value)
            self.figures.series.latencies(measure, at, Slice.of(self.figures.histograms[measure].take(tally)))
        counts = self.figures.counts
        told: dict[str, object] = {
            "phase": Phase.LOAD,
            "elapsed_s": float(at_s),
            "nodes": 20,
            "planned_nodes": 20,
            "states": {"idle": 12, "processing": 8},
            "offered": counts[Count.OFFERED],
            "submitted": counts[Count.SUBMITTED],
            "accepted": counts[Count.ACCEPTED],
            "queued": 3,
            "working": 8,
            "in_flight": 2,
            "outbox": 1,
            "lag_s": 0.002,
            "cpu": 0.25,
        }
        self.become(**(told | changes))


def under_load(run: KnownRun, seconds: int = 30) -> KnownRun:
    """Half a minute of load with ups and downs, two faults and some errors."""
    chance = random.Random(4)
    for at_s in range(1, seconds + 1):
        if at_s == 11:
            run.mark(10, "kill 30%, back after 6s")
        if at_s == 17:
            run.mark(16, "6 nodes come back")
        is_hurt = 10 < at_s <= 16
        wait_s = 0.8 if is_hurt else 0.3
        if is_hurt:
            run.figures.errors.count("result", "HTTP 503: busy")
            run.figures.errors.count("poll", "the connection was reset by its peer")
        run.second(
            at_s,
            {
                Measure.POLL: [0.004 * chance.lognormvariate(0, 0.6) for _ in range(19)],
                Measure.EMPTY_POLL: [0.003 * chance.lognormvariate(0, 0.4) for _ in range(40)],
                Measure.RESULT: [0.006 * chance.lognormvariate(0, 0.5) for _ in range(19)],
                Measure.JOB: [wait_s * chance.lognormvariate(0, 0.5) for _ in range(19)],
            },
            nodes=14 if is_hurt else 20,
            states={"idle": 6 if is_hurt else 10, "processing": 7, "checking": 1}
            | ({"crashed": 6} if is_hurt else {"backing off": 2}),
            queued=round(3 + 12 * is_hurt * chance.random()),
            working=round(6 + 3 * chance.random()),
            lag_s=0.001 + 0.002 * chance.random(),
            cpu=0.2 + 0.1 * chance.random(),
        )
    return run
