"""What nodes with nothing to do cost: memory each, CPU, how late their polls are, and how fast they register.

Run as ``.venv/bin/python -m benchmarks.idle_nodes --nodes 20000`` on Linux with nginx. The answers are static and hold
no job; the nodes are the program's own, with its monitor and metrics listening, all in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import uvloop

from benchmarks.static_gateway import static_gateway
from node.app.assembly import Ground, assembled
from node.domain.events import PollEnded, PollStarted
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.domain.states import Life
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.gateway.deployment import Deployment
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.monitors.histogram import Histogram
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.outbox.memory import MemoryOutbox
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.system import SystemClock
from node.settings.load import load_settings
from node.settings.policies import to_policies


class Options(NamedTuple):
    """How many nodes poll how often, over how long they start, and how long they are looked at."""

    nodes: int
    cycle_s: float
    start_s: float
    seconds: float


class Polls:
    """The polls of the time that is looked at."""

    def __init__(self, bus: EventBus) -> None:
        """Listen from now on."""
        self.lateness_s = Histogram()
        self.took_s = Histogram()
        bus.subscribe(PollStarted, lambda event: self.lateness_s.record(event.lateness_s))
        bus.subscribe(PollEnded, lambda event: self.took_s.record(event.took_s))


async def run(url: str, options: Options) -> None:
    """Start the nodes, look at them, and print what they cost."""
    known = {
        "gateway.url": url,
        "fleet.min_start_delay_s": 0.0,
        "fleet.max_start_delay_s": options.start_s,
        "fleet.start_spacing_s": 0.0,
        "fleet.points_check_s": 3600,
        "node.poll_cycle_s": options.cycle_s,
    }
    settings = load_settings(config_file=None, profile=None, flags=known, environ={}, cwd=Path("/nonexistent"))
    policies = to_policies(settings)
    clock, chance, bus = SystemClock(), random.Random(1), EventBus()
    tls = client_context()
    transports = FastTransportFactory(tls, HttpxTransportFactory(tls), max_reply_bytes=1 << 25)
    executor, outbox = SyntheticExecutor(SyntheticPolicy(1, 1, 0.0), chance), MemoryOutbox(policies.outbox, clock)
    ground = Ground(clock, chance, bus, transports, outbox, executor)
    gc.collect()
    process, idle = psutil.Process(), psutil.Process().memory_info().rss
    specs = [_spec(number) for number in range(options.nodes)]
    monitor = NodeMonitor(clock, [spec.node_id for spec in specs])
    bus.attach(monitor)
    bus.attach(MetricsSubscriber(Metrics(), options.nodes))
    async with assembled(specs, policies, Deployment(url, url, "0.0.4"), ground) as fleet:
        task, began, cpu = asyncio.create_task(fleet.run()), time.monotonic(), time.process_time()
        while monitor.snapshot().by_life[Life.RUNNING] < options.nodes:
            await asyncio.sleep(0.5)
            set_aside()
        took, used = time.monotonic() - began, time.process_time() - cpu
        print(f"{options.nodes} nodes registered in {took:.1f} s, {used / options.nodes * 1e6:.0f} µs of CPU each")
        await asyncio.sleep(2 * options.cycle_s)
        set_aside()
        polls, began, cpu = Polls(bus), time.monotonic(), time.process_time()
        await asyncio.sleep(options.seconds)
        took, used = time.monotonic() - began, time.process_time() - cpu
        made, late = polls.took_s.count, polls.lateness_s.percentiles(50, 99, 99.9)
        print(f"{made / took:.0f} polls/s, {used / took:.1%} of a core, {used / made * 1e6:.1f} µs of CPU each")
        print("lateness ms: p50 {:.2f}, p99 {:.2f}, p99.9 {:.2f}".format(*(late_s * 1e3 for late_s in late)))
        print(f"{(process.memory_info().rss - idle) / options.nodes / 1024:.2f} KiB a node above the idle program")
        print(f"{monitor.snapshot().polls_failed} polls failed, {len(process.net_connections())} sockets")
        fleet.abort()
        await task


def _spec(number: int) -> NodeSpec:
    identity = Identity(NodeId(f"node-{number}"), Secret(f"secret-{number}"), AccountId(f"account-{number}"), "p")
    return NodeSpec(identity, Hardware(1, 1, 1, "g", "l"), ("bench:latest",))


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--cycle", type=float, default=5.0, help="seconds from one poll of a node to its next")
    parser.add_argument("--start", type=float, default=20.0, help="seconds over which the nodes start")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with static_gateway(jobs_percent=0, core=0) as url, relaxed_collection():
        os.sched_setaffinity(0, {1})
        uvloop.run(run(url, Options(options.nodes, options.cycle, options.start, options.seconds)))


if __name__ == "__main__":
    main()
