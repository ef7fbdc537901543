"""Metrics that are looked up at the moment somebody asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.domain.states import Hold
from node.observability.metric_families import PREFIX
from node.observability.status_document import hold_names
from node.ports.control import StatusSource


class GpuFigures(NamedTuple):
    """One GPU: its share of time in use (0 to 1) and its memory in bytes; None for what it does not tell."""

    name: str
    utilisation_ratio: float | None
    vram_used_bytes: int | None
    vram_total_bytes: int | None


class MachineFigures(NamedTuple):
    """The machine at one moment, None for what cannot be read.

    Ratios are from 0 to 1, ``cpu_ratio`` over all cores. ``rss_bytes`` is this process' memory,
    ``disk_free_bytes`` the room where the state is kept.
    """

    cpu_ratio: float | None
    rss_bytes: int | None
    memory_used_ratio: float | None
    disk_free_bytes: int | None
    gpus: tuple[GpuFigures, ...]
    loop_lag_seconds: float | None


class StatusCollector(Collector):
    """Slots, holds, readiness and outbox of the one node that ``source`` tells of."""

    def __init__(self, source: StatusSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        status, checks = self._source.status(), self._source.checks()
        yield _gauge("slots", "Jobs that may run at once.", status.slots_total)
        yield _gauge("slots_used", "Slots in use.", status.slots_used)
        yield _gauge("uptime_seconds", "Time since the start.", status.uptime_s)
        if status.last_poll_age_s is not None:
            yield _gauge("last_poll_age_seconds", "Time since a poll was last answered.", status.last_poll_age_s)
        yield _gauge("outbox_results", "Results that wait to be sent.", status.outbox.depth)
        oldest = status.outbox.oldest_age_s or 0.0
        yield _gauge("outbox_oldest_age_seconds", "Age of the oldest result that waits, 0 without one.", oldest)
        yield _gauge("ready", "1 while all checks of readiness hold.", all(check.ok for check in checks))
        checked = GaugeMetricFamily(f"{PREFIX}check", "1 while this check of readiness holds.", labels=["check"])
        for check in checks:
            checked.add_metric([check.name], check.ok)
        yield checked
        held = GaugeMetricFamily(f"{PREFIX}held", "1 while this is a reason to claim no job.", labels=["reason"])
        for hold in Hold:
            held.add_metric(hold_names(hold), hold in status.holds)
        yield held


class MachineCollector(Collector):
    """The machine's figures, as ``read`` tells them; what it does not tell has no value."""

    def __init__(self, read: Callable[[], MachineFigures]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        figures = self._read()
        yield _gauge("cpu_usage_ratio", "Share of all processors' time in use.", figures.cpu_ratio)
        yield _gauge("resident_memory_bytes", "Memory of this process.", figures.rss_bytes)
        yield _gauge("memory_used_ratio", "Share of the machine's memory in use.", figures.memory_used_ratio)
        yield _gauge("disk_free_bytes", "Room on the disk of the state.", figures.disk_free_bytes)
        yield _gauge("event_loop_lag_seconds", "How late the event loop was of late.", figures.loop_lag_seconds)
        labels = ["gpu", "name"]
        used = GaugeMetricFamily(f"{PREFIX}gpu_usage_ratio", "Share of a GPU's time in use.", labels=labels)
        vram = GaugeMetricFamily(f"{PREFIX}gpu_memory_used_bytes", "Memory in use on a GPU.", labels=labels)
        total = GaugeMetricFamily(f"{PREFIX}gpu_memory_total_bytes", "Memory of a GPU.", labels=labels)
        for number, gpu in enumerate(figures.gpus):
            place = [str(number), gpu.name]
            used.add_metric(place, _value(gpu.utilisation_ratio))
            vram.add_metric(place, _value(gpu.vram_used_bytes))
            total.add_metric(place, _value(gpu.vram_total_bytes))
        yield from (used, vram, total)


class Outlet(Protocol):
    """Something that events are sent to."""

    @property
    def sent(self) -> int:
        """Events that arrived."""
        ...

    @property
    def dropped(self) -> int:
        """Events that never will."""
        ...


class OutletCollector(Collector):
    """What became of the events that go elsewhere, by the name of where: "kafka", "webhook"."""

    def __init__(self, outlets: Mapping[str, Outlet]) -> None:
        self._outlets = outlets

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        sent = CounterMetricFamily(f"{PREFIX}events_sent", "Events that arrived elsewhere.", labels=["outlet"])
        dropped = CounterMetricFamily(f"{PREFIX}events_dropped", "Events that were not sent.", labels=["outlet"])
        for name, outlet in self._outlets.items():
            sent.add_metric([name], outlet.sent)
            dropped.add_metric([name], outlet.dropped)
        yield from (sent, dropped)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=_value(value))


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)
