"""Counters and histograms for what happens tens of thousands of times a second.

Those of `prometheus_client` take a lock and several calls for each event, since any thread may use them. These are for
the event loop's thread alone: they count in plain numbers, and are put into Prometheus' form when somebody asks.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Count:
    """One series of a counter: add to ``value``, and never take away."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.value = 0
        self.created = time.time()


class Spread:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "created", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` are the upper ends of its buckets, included, ascending; one more has no end."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket."""
        self.total = 0.0
        self.created = time.time()

    def observe(self, value: float) -> None:
        """Count a measurement."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class PlainCounter(Collector):
    """A number that never falls."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._series: dict[tuple[str, ...], Count] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> Count:
        """The series with these values of its labels; a metric without labels has one."""
        count = self._series.get(values)
        if count is None:
            count = self._series[values] = Count()
        return count

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._series.items():
            family.add_metric(values, count.value, created=count.created)
        yield family


class PlainHistogram(Collector):
    """How many measurements fell under each of some bounds."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._bounds = tuple(bounds)
        self._les = [*map(str, map(float, bounds)), "+Inf"]
        self._series: dict[tuple[str, ...], Spread] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> Spread:
        """The series with these values of its labels; a metric without labels has one."""
        spread = self._series.get(values)
        if spread is None:
            spread = self._series[values] = Spread(self._bounds)
        return spread

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, spread in self._series.items():
            under, buckets = 0, []
            for bound, count in zip(self._les, spread.counts, strict=True):
                under += count
                buckets.append((bound, float(under)))
            family.add_metric(values, buckets, spread.total)
            family.add_sample(f"{self._name}_created", dict(zip(self._labels, values, strict=True)), spread.created)
        yield family
