"""All metrics of a node in production, as Prometheus would see them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from node.observability.live_metrics import (
    GpuFigures,
    MachineCollector,
    MachineFigures,
    OutletCollector,
    StatusCollector,
)
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from tests.unit.observability.controlled import ControlledNode
from tests.unit.observability.sample_events import EVENTS


class Family(NamedTuple):
    """A metric; ``name`` is that of its table row, ``series`` are the names that queries may use."""

    name: str
    kind: str
    labels: frozenset[str]
    about: str
    series: frozenset[str]
    values: Mapping[str, frozenset[str]]


class _Outlet:
    sent = 1
    dropped = 1


def full_metrics() -> Metrics:
    """A node's metrics with every collector in place, after one event of every kind."""
    metrics = Metrics(worker="box-7")
    metrics.observe(StatusCollector(ControlledNode()))
    figures = MachineFigures(0.5, 10**8, 0.5, 10**10, (GpuFigures("RTX", 0.5, 10**9, 10**10),), 0.01)
    metrics.observe(MachineCollector(lambda: figures))
    metrics.observe(OutletCollector({"kafka": _Outlet(), "webhook": _Outlet()}))
    handlers = MetricsSubscriber(metrics, 1).handlers()
    for event in EVENTS:
        if type(event) in handlers:
            handlers[type(event)](event)
    return metrics


@functools.cache
def families() -> Mapping[str, Family]:
    """The metrics by the names that queries may use for them."""
    return {series: family for family in _families(full_metrics()) for series in family.series}


def _families(metrics: Metrics) -> Iterator[Family]:
    declared = {
        collector._name: frozenset(collector._labelnames)
        for collector in metrics.registry._collector_to_names
        if isinstance(collector, MetricWrapperBase)
    }
    for metric in metrics.registry.collect():
        name = f"{metric.name}_{metric.type}" if metric.type == "info" else metric.name
        name = f"{name}_total" if metric.type == "counter" else name
        samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        labels = declared.get(metric.name, frozenset())
        labels |= {label for sample in samples for label in sample.labels} - {"le"}
        series = {sample.name for sample in samples} | {name}
        if metric.type == "histogram":
            series |= {f"{name}_{end}" for end in ("bucket", "count", "sum")}
        values = {label: frozenset(s.labels[label] for s in samples if label in s.labels) for label in labels}
        yield Family(name, metric.type, labels, metric.documentation, frozenset(series), values)


TARGET_LABELS = frozenset({"instance", "job", "le"})
"""Labels that Prometheus adds to each series, and that of buckets."""


def faults(expression: str) -> list[str]:
    """What a query names that no node tells: metrics, labels, and values of labels that are known beforehand."""
    found: list[str] = []
    named: set[str] = set()
    bare = re.sub(r'"[^"]*"', '""', expression)
    for name in re.findall(r"\b((?:llm_node_|up\b)\w*)", bare):
        if name != "up" and name not in families():
            found.append(f"there is no {name}")
        elif name != "up":
            named |= families()[name].labels
    for name, selectors in re.findall(r"\b(llm_node_\w+)\{([^}]*)\}", expression):
        family = families().get(name)
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', selectors):
            if family is None or label in TARGET_LABELS:
                continue
            known = family.values.get(label, frozenset())
            if label not in family.labels:
                found.append(f"{name} has no label {label}")
            elif any(word not in known for word in (value.split("|") if operator[1:] == "~" else [value])):
                found.append(f"{name} has no {label}={value}, but {sorted(known)}")
    for labels in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression):
        found += [f"no label {label}" for label in re.findall(r"\w+", labels) if label not in named | TARGET_LABELS]
    return found
