"""The program's own nodes with an executor of no time, an outbox in memory, and its monitor and metrics listening."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from node.app.assembly import Fleet, Ground, assembled
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.domain.states import Life
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.gateway.deployment import Deployment
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.outbox.memory import MemoryOutbox
from node.runtime.system import SystemClock
from node.settings.load import load_settings
from node.settings.policies import to_policies

TransportKind = Literal["fast", "httpx"]


class FleetPlan(NamedTuple):
    """How many nodes poll how often, over how long they start, and which transport carries them."""

    nodes: int
    cycle_s: float = 5.0
    start_s: float = 0.5
    transport: TransportKind = "fast"


@dataclass(frozen=True, slots=True)
class SyntheticFleet:
    """A fleet that is ready to run, and who listens to it."""

    fleet: Fleet
    monitor: NodeMonitor
    bus: EventBus
    nodes: int

    async def all_run(self, tick: Callable[[], object] = lambda: None) -> None:
        """Wait until the last node is up, looking twice a second; ``tick`` is called each time."""
        while self.monitor.snapshot().by_life[Life.RUNNING] < self.nodes:
            tick()
            await asyncio.sleep(0.5)
        tick()


@contextlib.asynccontextmanager
async def synthetic_fleet(url: str, plan: FleetPlan) -> AsyncIterator[SyntheticFleet]:
    """A fleet for the gateway at this URL, which it does not ask before it runs; to be run within the block."""
    known = {
        "gateway.url": url,
        "fleet.min_start_delay_s": 0.0,
        "fleet.max_start_delay_s": plan.start_s,
        "fleet.start_spacing_s": 0.0,
        "fleet.points_check_s": 3600,
        "node.poll_cycle_s": plan.cycle_s,
    }
    settings = load_settings(config_file=None, profile=None, flags=known, environ={}, cwd=Path("/nonexistent"))
    policies = to_policies(settings)
    clock, chance, bus = SystemClock(), random.Random(1), EventBus()
    tls = client_context()
    stock = HttpxTransportFactory(tls)
    transports = stock if plan.transport == "httpx" else FastTransportFactory(tls, stock, max_reply_bytes=1 << 25)
    executor = SyntheticExecutor(SyntheticPolicy(1, 1, 0.0), chance)
    ground = Ground(clock, chance, bus, transports, MemoryOutbox(policies.outbox, clock), executor)
    specs = [_spec(number) for number in range(plan.nodes)]
    monitor = NodeMonitor(clock, [spec.node_id for spec in specs])
    bus.attach(monitor)
    bus.attach(MetricsSubscriber(Metrics(), plan.nodes))
    async with assembled(specs, policies, Deployment(url, url, "0.0.4"), ground) as fleet:
        yield SyntheticFleet(fleet, monitor, bus, plan.nodes)


def _spec(number: int) -> NodeSpec:
    # An account of its own each: the nodes of one account start one after the other.
    identity = Identity(NodeId(f"node-{number}"), Secret(f"secret-{number}"), AccountId(f"account-{number}"), "p")
    return NodeSpec(identity, Hardware(1, 1, 1, "g", "l"), ("bench:latest",))
