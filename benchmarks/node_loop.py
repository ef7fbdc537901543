"""What the whole loop of a node costs: poll, parse, run a job of no time, keep its result in memory, submit it.

Run as ``.venv/bin/python -m benchmarks.node_loop`` on Linux with nginx and taskset. The answers are static; the nodes
are the program's own, with its monitor and metrics listening. The figure is CPU time of the client per request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import random
import time
from pathlib import Path

import uvloop

from benchmarks.static_gateway import static_gateway
from node.app.assembly import Ground, assembled
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
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
from node.runtime.system import SystemClock
from node.settings.load import load_settings
from node.settings.policies import to_policies


class Counted:
    """A transport factory whose exchanges are counted."""

    def __init__(self, factory: TransportFactory) -> None:
        self.factory = factory
        self.transports: list[CountedTransport] = []

    def open(self, proxy: object) -> Transport:
        transport = CountedTransport(self.factory.open(None))
        self.transports.append(transport)
        return transport

    @property
    def exchanges(self) -> int:
        return sum(transport.exchanges for transport in self.transports)


class CountedTransport:
    def __init__(self, transport: Transport) -> None:
        self._exchange = transport.exchange
        self.aclose = transport.aclose
        self.exchanges = 0

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.exchanges += 1
        return await self._exchange(request, timeout_s)


async def run(url: str, nodes: int, seconds: float, kind: str, profile: str) -> None:
    flags = {
        "gateway.url": url, "gateway.owned": url, "fleet.max_start_delay_s": 0.5, "fleet.min_start_delay_s": 0.0,
        "fleet.account_spacing_s": 0.0, "fleet.points_check_s": 3600,
    }
    known = {name: value for name, value in flags.items() if name not in {"fleet.account_spacing_s"}}
    settings = load_settings(config_file=None, profile=None, flags=known, environ={}, cwd=Path("/nonexistent"))
    policies = to_policies(settings)
    clock, chance, bus = SystemClock(), random.Random(1), EventBus()
    specs = [
        NodeSpec(
            Identity(NodeId(f"node-{n}"), Secret(f"secret-{n}"), AccountId("a"), "p"), Hardware(1, 1, 1, "g", "l"), ("bench:latest",)
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
    async with assembled(specs, policies, Deployment(url, url, "0.0.4"), ground) as fleet:
        task = asyncio.create_task(fleet.run())
        await asyncio.sleep(3)
        before, cpu, began = factory.exchanges, time.process_time(), time.monotonic()
        profiler = cProfile.Profile() if profile else None
        with profiler or contextlib.nullcontext():
            await asyncio.sleep(seconds)
        made, used, took = factory.exchanges - before, time.process_time() - cpu, time.monotonic() - began
        print(f"{kind}: {made / took:.0f} requests/s, {used / made * 1e6:.1f} µs of CPU each, {used / took:.0%} of a core")
        view = monitor.snapshot()
        print(view.jobs)
        if profiler is not None:
            pstats.Stats(profiler).sort_stats(profile).print_stats(450)
        fleet.abort()
        await task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--jobs", type=float, default=100.0, help="percent of the polls that bring a job")
    parser.add_argument("--kind", default="fast")
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    with static_gateway(jobs_percent=options.jobs, core=0) as url:
        import os

        os.sched_setaffinity(0, {1})
        uvloop.run(run(url, options.nodes, options.seconds, options.kind, options.profile))


if __name__ == "__main__":
    main()
