from __future__ import annotations

import math
from dataclasses import dataclass, replace

from node.domain.states import Hold
from node.observability.live_metrics import (
    GpuFigures,
    MachineCollector,
    MachineFigures,
    OutletCollector,
    StatusCollector,
)
from node.observability.metrics import Metrics
from node.ports.control import OutboxStatus
from tests.unit.observability.controlled import BAD, STATUS, ControlledNode
from tests.unit.observability.test_metrics import value


def test_the_nodes_figures_are_those_of_the_moment() -> None:
    node, metrics = ControlledNode(), Metrics()
    assert value(metrics, "slots") is None
    metrics.observe(StatusCollector(node))
    assert value(metrics, "slots") == 4
    assert value(metrics, "slots_used") == 2
    assert value(metrics, "outbox_results") == 3
    assert value(metrics, "outbox_oldest_age_seconds") == 12
    assert value(metrics, "last_poll_age_seconds") == STATUS.last_poll_age_s
    assert value(metrics, "ready") == 1
    assert value(metrics, "held", {"reason": "paused"}) == 1
    assert value(metrics, "held", {"reason": "disk"}) == 0
    node.now = replace(STATUS, slots_used=0, holds=Hold.NOTHING, last_poll_age_s=None, outbox=OutboxStatus(0, None))
    node.conditions = BAD
    assert value(metrics, "slots_used") == 0
    assert value(metrics, "outbox_oldest_age_seconds") == 0
    assert value(metrics, "last_poll_age_seconds") is None
    assert value(metrics, "ready") == 0
    assert value(metrics, "check", {"check": "engine"}) == 0
    assert value(metrics, "held", {"reason": "paused"}) == 0


def test_the_machines_figures_come_and_go_with_the_machine() -> None:
    gpu = GpuFigures("RTX 4090", 0.5, 2**30, 2**34)
    figures = MachineFigures(0.25, 1000, 0.5, 2000, (gpu, gpu._replace(utilisation_ratio=None)), 0.01)
    metrics = Metrics()
    metrics.observe(MachineCollector(lambda: figures))
    assert value(metrics, "cpu_usage_ratio") == 0.25
    assert value(metrics, "resident_memory_bytes") == 1000
    assert value(metrics, "memory_used_ratio") == 0.5
    assert value(metrics, "disk_free_bytes") == 2000
    assert value(metrics, "event_loop_lag_seconds") == 0.01
    assert value(metrics, "gpu_usage_ratio", {"gpu": "0", "name": "RTX 4090"}) == 0.5
    assert value(metrics, "gpu_memory_total_bytes", {"gpu": "1", "name": "RTX 4090"}) == 2**34
    assert math.isnan(value(metrics, "gpu_usage_ratio", {"gpu": "1", "name": "RTX 4090"}) or 0)
    figures = MachineFigures(None, None, None, None, (), None)
    assert math.isnan(value(metrics, "disk_free_bytes") or 0)
    assert value(metrics, "gpu_usage_ratio", {"gpu": "0", "name": "RTX 4090"}) is None


@dataclass
class CountingOutlet:
    sent: int
    dropped: int


def test_outlets_tell_what_arrived_and_what_did_not() -> None:
    metrics, kafka = Metrics(), CountingOutlet(7, 2)
    metrics.observe(OutletCollector({"kafka": kafka}))
    assert value(metrics, "events_sent_total", {"outlet": "kafka"}) == 7
    kafka.dropped = 3
    assert value(metrics, "events_dropped_total", {"outlet": "kafka"}) == 3
