"""What the whole loop of a node costs: poll, parse, run a job of no time, keep its result in memory, submit it.

Run as ``.venv/bin/python -m benchmarks.node_loop`` on Linux with nginx and taskset. The answers are static; the nodes
are the program's own, with its monitor and metrics listening. The figure is CPU time of the client per request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import os
import pstats
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from benchmarks.static_gateway import static_gateway
from node.app.assembly import Ground, assembled
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
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
from node.ports.transport import Reply, Request, Transport, TransportFactory
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.system import SystemClock
from node.settings.load import load_settings
from node.settings.policies import to_policies

RAMP_S: Final = 2.0
WINDOW_S: Final = 0.5
"""A figure is taken this often: on a shared machine the median of many says more than the mean of all."""


class Window(NamedTuple):
    """What came of a short time: requests a second, and the CPU time of each in microseconds."""

    requests_per_s: float
    cpu_us: float


class Counted:
    """A transport factory whose exchanges are counted."""

    def __init__(self, factory: TransportFactory) -> None:
        self.factory = factory
        self.transports: list[CountedTransport] = []

    def open(self, proxy: ProxyAddress | None) -> Transport:
        """See `node.ports.transport.TransportFactory.open`."""
        transport = CountedTransport(self.factory.open(proxy))
        self.transports.append(transport)
        return transport

    @property
    def exchanges(self) -> int:
        """How many there were, of all."""
        return sum(transport.exchanges for transport in self.transports)


class CountedTransport:
    """A transport whose exchanges are counted."""

    def __init__(self, transport: Transport) -> None:
        self._exchange = transport.exchange
        self.aclose = transport.aclose
        self.exchanges = 0

    def exchange(self, request: Request, timeout_s: float) -> Coroutine[Any, Any, Reply]:
        """See `node.ports.transport.Transport.exchange`."""
        self.exchanges += 1
        return self._exchange(request, timeout_s)


async def _window(factory: Counted) -> Window:
    before, cpu, began = factory.exchanges, time.process_time(), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    made = factory.exchanges - before
    return Window(made / (time.monotonic() - began), (time.process_time() - cpu) / max(1, made) * 1e6)


async def run(url: str, nodes: int, seconds: float, kind: str, profile: str, cycle_s: float) -> None:
    """Run the nodes, and print what their requests cost."""
    known = {
        "gateway.url": url,
        "fleet.max_start_delay_s": 0.5,
        "fleet.min_start_delay_s": 0.0,
        "fleet.start_spacing_s": 0.0,
        "fleet.points_check_s": 3600,
        "node.poll_cycle_s": cycle_s,
    }
    settings = load_settings(config_file=None, profile=None, flags=known, environ={}, cwd=Path("/nonexistent"))
    policies = to_policies(settings)
    clock, chance, bus = SystemClock(), random.Random(1), EventBus()
    specs = [
        NodeSpec(
            Identity(NodeId(f"node-{n}"), Secret(f"secret-{n}"), AccountId("a"), "p"),
            Hardware(1, 1, 1, "g", "l"),
            ("bench:latest",),
        )
        for n in range(nodes)
    ]
    monitor, metrics = NodeMonitor(clock, [spec.node_id for spec in specs]), Metrics()
    bus.attach(monitor)
    bus.attach(MetricsSubscriber(metrics, nodes))
    tls = client_context()
    stock = HttpxTransportFactory(tls)
    factory = Counted(stock if kind == "httpx" else FastTransportFactory(tls, stock, max_reply_bytes=1 << 25))
    executor = SyntheticExecutor(SyntheticPolicy(1, 1, 0.0), chance)
    outbox = MemoryOutbox(policies.outbox, clock)
    ground = Ground(clock, chance, bus, factory, outbox, executor)
    with relaxed_collection():
        async with assembled(specs, policies, Deployment(url, url, "0.0.4"), ground) as fleet:
            task = asyncio.create_task(fleet.run())
            await asyncio.sleep(RAMP_S)
            set_aside()
            profiler = cProfile.Profile() if profile else None
            with profiler or contextlib.nullcontext():
                windows = [await _window(factory) for _ in range(round(seconds / WINDOW_S))]
            costs = sorted(window.cpu_us for window in windows)
            print(
                f"{kind}: {sum(window.requests_per_s for window in windows) / len(windows):.0f} requests/s, CPU of each in µs: "
                f"median {costs[len(costs) // 2]:.1f}, least {costs[0]:.1f}, most {costs[-1]:.1f} of {len(costs)} windows"
            )
            if profiler is not None:
                pstats.Stats(profiler).sort_stats(profile).print_stats(450)
            fleet.abort()
            await task


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--jobs", type=float, default=100.0, help="percent of the polls that bring a job")
    parser.add_argument("--cycle", type=float, default=5.0, help="seconds from an empty poll to the next")
    parser.add_argument("--kind", default="fast")
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    with static_gateway(jobs_percent=options.jobs, core=0) as url:
        os.sched_setaffinity(0, {1})
        uvloop.run(run(url, options.nodes, options.seconds, options.kind, options.profile, options.cycle))


if __name__ == "__main__":
    main()
