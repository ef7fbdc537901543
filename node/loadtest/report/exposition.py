"""A run's figures in Prometheus' text format, by families that a finished run and one under way have in common.

All names begin with ``llm_loadtest_``. Times are summaries: their quantiles come from HDR histograms and hold for the
whole stretch that was measured, not for a window that slides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.histogram import Histogram
from node.loadtest.report.markup import plain
from node.loadtest.thresholds.threshold import State

PREFIX: Final = "llm_loadtest_"

SIGNATURE: Final = f"# HELP {PREFIX}"
"""What every such text begins with."""

_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_RATES: Final = ("offered", "submitted_rate", "claimed_rate", "accepted_rate", "poll_rate")


class Families(Collector):
    """Families of metrics that were made already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        return iter(self._families)


def registry_of(families: Iterable[Metric]) -> CollectorRegistry:
    """A registry of these alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(families))
    return registry


def exposed(families: Iterable[Metric]) -> bytes:
    """The families as text."""
    return generate_latest(registry_of(families))


def gauge(name: str, text: str, value: float) -> Metric:
    """One level."""
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Levels by one label."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([plain(key)], value)
    return family


def info(text: Mapping[str, str]) -> Metric:
    """What was run, as labels of a metric that is 1."""
    family = GaugeMetricFamily(f"{PREFIX}info", "What is run: always 1.", labels=list(text))
    family.add_metric([plain(value) for value in text.values()], 1)
    return family


def measured(figures: Figures, histograms: Mapping[Measure, Histogram]) -> Iterator[Metric]:
    """Counts and failures of the whole run, and times over ``histograms``."""
    counts = CounterMetricFamily(f"{PREFIX}counts", "What was counted, from the run's beginning.", labels=["what"])
    for count in Count:
        counts.add_metric([count.value], figures.counts[count])
    yield counts
    failures = CounterMetricFamily(f"{PREFIX}failures", "Failures by step and class.", labels=["step", "reason"])
    for name, times in figures.errors.most_common():
        step, _, reason = plain(name).partition(": ")
        failures.add_metric([step, reason], times)
    yield failures
    yield _latencies(histograms)


def _latencies(histograms: Mapping[Measure, Histogram]) -> Metric:
    name = f"{PREFIX}latency_seconds"
    family = Metric(name, "Times from when work was due, by what was timed.", "summary")
    for measure, histogram in histograms.items():
        found = histogram.summary(*_PERCENTS)
        if not found.count:
            continue
        labels = {"of": measure.value}
        for percent, seconds in zip(_PERCENTS, found.percentiles_s, strict=True):
            family.add_sample(name, labels | {"quantile": f"{percent / 100:.6g}"}, seconds)
        family.add_sample(f"{name}_count", labels, found.count)
        family.add_sample(f"{name}_sum", labels, found.sum_s)
    return family


def final_families(outcome: LoadOutcome) -> Iterator[Metric]:
    """What a run came to; times are of the stretch that was judged, and what is unknown is left out."""
    times, values = outcome.times, outcome.values
    yield info({"plan": outcome.plan.name, "gateway": outcome.gateway, "seed": str(outcome.plan.seed)})
    verdicts = {verdict.value: float(verdict is outcome.verdict) for verdict in Verdict}
    yield gauges("verdict", "1 for what the run came to.", "verdict", verdicts)
    yield gauge("begun_timestamp_seconds", "When the run began.", times.begun_at)
    yield gauge("load_seconds", "How long the load lasted.", times.load_ended_at - times.begun_at)
    yield gauge("judged_seconds", "How much of it is judged.", values.get("duration") or 0.0)
    states = GaugeMetricFamily(
        f"{PREFIX}threshold", "1 for the state of each threshold.", labels=["threshold", "state"]
    )
    for found in outcome.outcomes:
        for state in State:
            states.add_metric([plain(str(found.threshold)), state.value], float(found.state is state))
    yield states
    rates = {name.removesuffix("_rate"): rate for name in _RATES if (rate := values.get(name)) is not None}
    yield gauges("rate_per_second", "Mean rates over what is judged.", "of", rates)
    jobs = outcome.report.jobs
    totals = {name: count for name in type(jobs).__slots__ if (count := getattr(jobs, name)) is not None}
    yield gauges("jobs", "Jobs by how far they came.", "stage", totals)
    findings = {one.kind.label: float(one.count) for one in outcome.report.findings if one.count is not None}
    yield gauges(
        "audit_findings", "What the audit found, by kind; a kind that is not there is unknown.", "kind", findings
    )
    own = {name: value for name, value in outcome.health.found.items() if value is not None}
    yield gauges("generator_health", "What the generator found of itself: seconds at p99, and shares.", "of", own)
    yield from measured(outcome.figures, outcome.histograms)
