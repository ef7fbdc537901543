"""Metrics: of a run that is over, and of one under way."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures, Measure
from node.loadtest.live.metrics import exposition
from node.loadtest.live.watched import Standing
from node.loadtest.plan.model import Plan
from node.loadtest.report.exposition import exposed, final_families
from tests.unit.loadtest.report.outcomes import HOSTILE, broken, empty, hostile, outcome_of, passed, untold, void

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(text: bytes) -> Samples:
    return {
        (sample.name.removeprefix("llm_loadtest_"), tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def final(outcome: LoadOutcome) -> Samples:
    return samples(exposed(final_families(outcome)))


def check(text: bytes) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("make", [passed, broken, void, untold, empty, hostile])
def test_promtool_takes_what_a_run_came_to(make: Callable[[], LoadOutcome]) -> None:
    check(exposed(final_families(make())))


def test_figures_are_those_of_the_outcome() -> None:
    outcome = broken()
    found = final(outcome)
    assert found["verdict", ("broken",)] == 1
    assert sum(value for (name, _), value in found.items() if name == "verdict") == 1
    assert found["audit_findings", ("lost",)] == outcome.report.count(Kind.LOST)
    assert found["jobs", ("submitted",)] == 100
    assert found["threshold", ("failed", "jobs.lost == 0")] == 1
    assert found["rate_per_second", ("offered",)] == outcome.values["offered"]
    assert found["counts_total", ("accepted",)] == outcome.figures.counts["accepted"]
    assert found["latency_seconds_count", ("submitted_accepted",)] == 100
    assert (
        found["latency_seconds", ("0.99", "submitted_accepted")] == outcome.histograms[Measure.JOB].percentiles_s(99)[0]
    )


def test_what_is_unknown_is_not_zero_but_not_there() -> None:
    found = final(untold())
    assert not [name for name, _ in found if name == "audit_findings"]
    assert ("jobs", ("answered",)) not in found
    assert found["jobs", ("submitted",)] == 100


@dataclass
class Run:
    """A `node.loadtest.live.watched.WatchedRun` that stands still."""

    plan: Plan
    figures: Figures
    verdict: Verdict | None = None
    gateway: str = f"http://127.0.0.1:1/{HOSTILE}"
    standing: Standing = field(
        default_factory=lambda: Standing(
            phase=Phase.LOAD,
            is_paused=True,
            elapsed_s=12.0,
            duration_s=35.0,
            nodes=20,
            planned_nodes=24,
            states={"idle": 18, "processing": 2, "crashed": 4},
            offered=100,
            submitted=99,
            accepted=90,
            queued=5,
            working=4,
            in_flight=1,
            outbox=2,
            lag_s=0.003,
            cpu=0.25,
        )
    )

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        return lambda: None

    def start(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def stop(self) -> None: ...


def test_a_run_under_way_can_be_scraped() -> None:
    text = exposition(Run(hostile().plan, hostile().figures))
    check(text)
    found = samples(text)
    assert found["phase", ("load",)] == 1
    assert sum(value for (name, _), value in found.items() if name == "phase") == 1
    assert {value for (name, _), value in found.items() if name == "verdict"} == {0}
    assert found["nodes", ("crashed",)] == 4
    assert found["jobs", ("queued",)] == 5
    assert (found["paused", ()], found["elapsed_seconds", ()], found["cpu_cores", ()]) == (1, 12, 0.25)
    assert (
        found["latency_seconds_count", ("poll",)]
        == outcome_of("lose-result=0.1", "double-credit=0.1").figures.counts["poll"]
    )


def test_a_run_that_is_judged_says_so() -> None:
    found = samples(exposition(Run(passed().plan, passed().figures, Verdict.PASSED)))
    assert found["verdict", ("passed",)] == 1
