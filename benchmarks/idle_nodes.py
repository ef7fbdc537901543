"""What nodes with nothing to do cost: memory each, CPU, how late their polls are, and how fast they register.

Run as ``.venv/bin/python -m benchmarks.idle_nodes --nodes 20000``. The answers are static and hold no job; the nodes
are the program's own, with its monitor and metrics listening, all in one process. ``--sandbox`` has them register at
the bundled gateway instead, which runs on the other core, and ends there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, astuple, dataclass
from typing import Final

import psutil
import uvloop

from benchmarks.alone import told_by
from benchmarks.cores import two_cores
from benchmarks.figures import Found, Goal, Kind, Spread, Unmeasurable
from benchmarks.static_gateway import static_gateway
from benchmarks.synthetic_fleet import FleetPlan, SyntheticFleet, synthetic_fleet
from node.domain.events import PollEnded, PollStarted
from node.monitors.histogram import Histogram
from node.observability.bus import EventBus
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess

_REGISTER_WITHIN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Registered:
    """How so many nodes came up: seconds until the last was running, and CPU of each in microseconds."""

    nodes: int
    took_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Look:
    """What the nodes did in one poll cycle."""

    polls_per_s: float
    cpu_share: float
    cpu_us: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float


@dataclass(frozen=True, slots=True)
class IdleNodes:
    """What the nodes cost once they were up; ``kib_a_node`` is resident memory above the idle program."""

    registered: Registered
    looks: list[Look]
    kib_a_node: float
    polls_failed: int
    sockets: int

    def middle(self) -> Look:
        """The median of each figure."""
        return Look(*(statistics.median(values) for values in zip(*map(astuple, self.looks), strict=True)))


class Polls:
    """The polls of the time that is looked at."""

    def __init__(self, bus: EventBus) -> None:
        """Listen from now on."""
        self.lateness_s = Histogram()
        self.count = 0
        bus.subscribe(PollStarted, self._started)
        bus.subscribe(PollEnded, self._count)

    def _started(self, event: PollStarted) -> None:
        self.lateness_s.record(event.lateness_s)

    def _count(self, _event: PollEnded) -> None:
        self.count += 1


async def idle(url: str, plan: FleetPlan, cycles: int) -> IdleNodes:
    """Start the nodes, and look at them for so many poll cycles."""
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    async with synthetic_fleet(url, plan) as made:
        task = asyncio.create_task(made.fleet.run(), name="fleet")
        registered = await _register(made, plan)
        await asyncio.sleep(2 * plan.cycle_s)
        set_aside()
        looks = [await _look(made.bus, plan.cycle_s) for _ in range(cycles)]
        rss, sockets = process.memory_info().rss, len(process.net_connections())
        failed = made.monitor.snapshot().polls_failed
        made.fleet.abort()
        await task
    return IdleNodes(registered, looks, (rss - before) / plan.nodes / 1024, failed, sockets)


async def at_sandbox(plan: FleetPlan, core: int) -> Registered:
    """Let the nodes register at the bundled gateway on that core."""
    tasks = TaskOwner(print)
    gateway = await SandboxProcess.start(SandboxPolicy(), tasks)
    os.sched_setaffinity(gateway.handshake.pid, {core})
    try:
        async with synthetic_fleet(gateway.handshake.url, plan) as made:
            task = asyncio.create_task(made.fleet.run(), name="fleet")
            registered = await _register(made, plan)
            made.fleet.abort()
            await task
    finally:
        await gateway.stop()
        await tasks.join()
    return registered


async def _register(made: SyntheticFleet, plan: FleetPlan) -> Registered:
    began, cpu = time.monotonic(), time.process_time()
    async with asyncio.timeout(_REGISTER_WITHIN_S):
        await made.all_run(set_aside)
    return Registered(plan.nodes, time.monotonic() - began, (time.process_time() - cpu) / plan.nodes * 1e6)


async def _look(bus: EventBus, seconds: float) -> Look:
    polls, began, cpu = Polls(bus), time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took, used = time.monotonic() - began, time.process_time() - cpu
    if not polls.count:
        raise Unmeasurable("the nodes made no polls")
    p50, p99 = polls.lateness_s.percentiles(50, 99)
    late_ms = (p50 * 1e3, p99 * 1e3, polls.lateness_s.max_s * 1e3)
    return Look(polls.count / took, used / took, used / polls.count * 1e6, *late_ms)


def kinds(nodes: int, group: str, *, is_detail: bool) -> list[Kind]:
    """What is measured of so many idle nodes."""
    of = f"{nodes:,} idle nodes, a poll each 5 s"
    late, memory = (None, None) if is_detail else (Goal(at_most=20), Goal(at_most=10))
    return [
        Kind(f"{group}.late_p50_ms", f"{of}: lateness of a poll, p50", "ms", is_detail=is_detail),
        Kind(f"{group}.late_p99_ms", f"{of}: lateness of a poll, p99", "ms", late),
        Kind(f"{group}.late_max_ms", f"{of}: the latest poll of a cycle", "ms", is_detail=is_detail),
        Kind(f"{group}.kib_a_node", f"{of}: memory above the idle program", "KiB a node", memory),
        Kind(f"{group}.cpu_share", f"{of}: CPU", "% of a core"),
        Kind(f"{group}.cpu_us", f"{of}: CPU of a poll", "µs", is_detail=True),
        Kind(f"{group}.polls_per_s", f"{of}: polls", "1/s", is_detail=True),
        Kind(f"{group}.registered_s", f"{nodes:,} nodes register, static answers", "s", is_detail=is_detail),
    ]


def measured(nodes: int, group: str, start_s: float, cycles: int) -> Found:
    """The figures of `kinds`, from nodes that start over so many seconds.

    Raises:
        Unmeasurable: see `told_by` and `two_cores`.
    """
    two_cores()
    flags = ["--nodes", str(nodes), "--start", str(start_s), "--cycles", str(cycles)]
    told = told_by("idle_nodes", *flags, within_s=_REGISTER_WITHIN_S + 60 + 10 * cycles)
    looks = [Look(**look) for look in told["looks"]]
    values = {
        "late_p50_ms": [look.late_p50_ms for look in looks],
        "late_p99_ms": [look.late_p99_ms for look in looks],
        "late_max_ms": [look.late_max_ms for look in looks],
        "kib_a_node": [told["kib_a_node"]],
        "cpu_share": [100 * look.cpu_share for look in looks],
        "cpu_us": [look.cpu_us for look in looks],
        "polls_per_s": [look.polls_per_s for look in looks],
        "registered_s": [told["registered"]["took_s"]],
    }
    made: dict[str, Spread | str] = {f"{group}.{name}": Spread.of(each) for name, each in values.items()}
    if told["polls_failed"]:
        made[f"{group}.late_p99_ms"] = f"{told['polls_failed']} polls failed"
    return made


def registration_kinds(nodes: int) -> list[Kind]:
    """What is measured of nodes that register at the sandbox."""
    return [
        Kind("registration.seconds", f"{nodes:,} nodes register, sandbox on the other core", "s", Goal(at_most=60)),
        Kind("registration.cpu_us", f"{nodes:,} nodes register: CPU of their process for each", "µs", is_detail=True),
    ]


def registration(nodes: int) -> Found:
    """The figures of `registration_kinds`.

    Raises:
        Unmeasurable: see `told_by` and `two_cores`.
    """
    two_cores()
    flags = ["--nodes", str(nodes), "--start", "1", "--sandbox"]
    told = told_by("idle_nodes", *flags, within_s=_REGISTER_WITHIN_S)
    return {
        "registration.seconds": Spread.of([told["took_s"]]),
        "registration.cpu_us": Spread.of([told["cpu_us"]]),
    }


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.idle_nodes", description=__doc__)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--cycle", type=float, default=5.0, help="seconds from one poll of a node to its next")
    parser.add_argument("--start", type=float, default=20.0, help="seconds over which the nodes start")
    parser.add_argument("--cycles", type=int, default=2, help="cycles that are looked at")
    parser.add_argument("--sandbox", action="store_true", help="only register, at the bundled gateway")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    plan, cores = FleetPlan(options.nodes, options.cycle, options.start), two_cores()
    with relaxed_collection():
        os.sched_setaffinity(0, {cores.client})
        if options.sandbox:
            report: Registered | IdleNodes = uvloop.run(at_sandbox(plan, cores.server))
        else:
            with static_gateway(jobs_percent=0, core=cores.server) as gateway:
                report = uvloop.run(idle(gateway.url, plan, options.cycles))
    _print(report, as_json=options.json)


def _print(report: Registered | IdleNodes, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(report)))
        return
    registered = report if isinstance(report, Registered) else report.registered
    print(f"{registered.nodes} nodes registered in {registered.took_s:.1f} s, {registered.cpu_us:.0f} µs of CPU each")
    if isinstance(report, IdleNodes):
        look = report.middle()
        print(f"{look.polls_per_s:.0f} polls/s, {look.cpu_share:.1%} of a core, {look.cpu_us:.1f} µs of CPU each")
        print(f"lateness ms: p50 {look.late_p50_ms:.2f}, p99 {look.late_p99_ms:.2f}, most {look.late_max_ms:.1f}")
        print(f"{report.kib_a_node:.2f} KiB a node above the idle program")
        print(f"{report.polls_failed} polls failed, {report.sockets} sockets")


if __name__ == "__main__":
    try:
        main()
    except Unmeasurable as error:
        sys.exit(str(error))
