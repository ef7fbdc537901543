"""How metrics are made: their prefix, their buckets, their registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from node.observability.plain_metrics import PlainCounter, PlainHistogram

PREFIX: Final = "llm_node_"
"""What every name begins with."""

FAST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets for single requests, in seconds."""

SLOW_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Buckets for jobs and what contains them, in seconds."""

ANY_S: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Buckets for what takes milliseconds in one case and minutes in another, in seconds."""

LONG_S: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
"""Buckets for loading and downloading models, in seconds."""

SPEEDS: Final = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Buckets for tokens a second."""


class Families:
    """Makes metrics in one registry; a counter's name gets its ``_total`` by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A number that never falls."""
        return Counter(PREFIX + name, text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A number that rises and falls."""
        return Gauge(PREFIX + name, text, labels, registry=self._registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = FAST_S) -> Histogram:
        """How many measurements fell under each of some bounds."""
        return Histogram(PREFIX + name, text, labels, registry=self._registry, buckets=buckets)

    def plain_counter(self, name: str, text: str, *labels: str) -> PlainCounter:
        """A number that never falls, of what happens all the time."""
        made = PlainCounter(PREFIX + name, text, labels)
        self._registry.register(made)
        return made

    def plain_histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = FAST_S
    ) -> PlainHistogram:
        """How many measurements fell under each of some bounds, of what happens all the time."""
        made = PlainHistogram(PREFIX + name, text, labels, buckets)
        self._registry.register(made)
        return made
