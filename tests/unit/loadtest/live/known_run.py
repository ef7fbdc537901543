"""A load test that stands as a test wants it, made of real figures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.histogram import Tally
from node.loadtest.figures.series import Mark
from node.loadtest.figures.slices import Slice
from node.loadtest.live.watched import Standing
from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from node.loadtest.thresholds.threshold import Outcome

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


class KnownRun:
    """A `node.loadtest.live.watched.WatchedRun`; ``orders`` are what it was told."""

    def __init__(self, plan: Plan | None = None, gateway: str = "http://127.0.0.1:8000") -> None:
        self.plan = plan or plan_of()
        self.gateway = gateway
        self.figures = Figures()
        self.verdict: Verdict | None = None
        self.outcomes: Sequence[Outcome] = ()
        self.orders: list[str] = []
        self.standing = Standing(
            phase=Phase.WAITING,
            is_paused=False,
            elapsed_s=-0.5,
            duration_s=self.plan.duration_s,
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
        self.now = float(BEGUN_AT)
        self._ears: list[Callable[[], object]] = []

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        self._ears.append(hear)
        return lambda: self._ears.remove(hear)

    @property
    def watchers(self) -> int:
        return len(self._ears)

    def start(self) -> None:
        self.orders.append("start")
        self.become(phase=Phase.LOAD)

    def pause(self) -> None:
        self.orders.append("pause")
        self.become(is_paused=True)

    def resume(self) -> None:
        self.orders.append("resume")
        self.become(is_paused=False)

    def stop(self) -> None:
        self.orders.append("stop")
        self.become(phase=Phase.SETTLING, is_paused=False)

    def become(self, **changes: object) -> None:
        """Stand otherwise, and tell who listens."""
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]
        self.tell()

    def tell(self) -> None:
        for hear in list(self._ears):
            hear()

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

    def mark(self, at_s: float, text: str) -> None:
        self.figures.series.mark(Mark(BEGUN_AT + at_s, text))


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
