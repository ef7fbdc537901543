"""What the whole loop of a node costs: poll, parse, run a job of no time, keep its result in memory, submit it.

Run as ``.venv/bin/python -m benchmarks.node_loop``. The figure is CPU time of the client per request. ``--profile``
tells where it goes instead; ``--url`` runs the nodes against that gateway until they are ended.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import sys
from typing import Final

import uvloop

from benchmarks.cores import two_cores
from benchmarks.figures import Unmeasurable
from benchmarks.static_gateway import static_gateway
from benchmarks.synthetic_fleet import FleetPlan, synthetic_fleet
from benchmarks.turns import Client, Shape, Turn, take_turn
from node.runtime.garbage import relaxed_collection, set_aside

_WINDOW_S: Final = 0.5


def client(plan: FleetPlan) -> Client:
    """The nodes as a program of their own."""
    flags = ["--nodes", str(plan.nodes), "--cycle", str(plan.cycle_s), "--kind", plan.transport]
    return Client([sys.executable, "-m", "benchmarks.node_loop", "--url", "{url}", *flags])


def measured(plan: FleetPlan, jobs_percent: float, seconds: float) -> Turn:
    """One turn of the nodes.

    Raises:
        Unmeasurable: see `take_turn` and `static_gateway`.
    """
    cores = two_cores()
    with static_gateway(jobs_percent=jobs_percent, core=cores.server) as gateway:
        shape = Shape(1.5, max(1, round(seconds / _WINDOW_S)), _WINDOW_S)
        return take_turn(client(plan), gateway, cores.client, jobs_percent, shape)


async def hold(
    url: str, plan: FleetPlan, seconds: float | None = None, profiler: cProfile.Profile | None = None
) -> None:
    """Run the nodes for so many seconds from when all have started, or until somebody ends the process."""
    with relaxed_collection():
        async with synthetic_fleet(url, plan) as made:
            task = asyncio.create_task(made.fleet.run(), name="fleet")
            await made.all_run()
            set_aside()
            if seconds is not None:
                if profiler is not None:
                    profiler.enable()
                await asyncio.sleep(seconds)
                if profiler is not None:
                    profiler.disable()
                made.fleet.abort()
            await task


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(prog="benchmarks.node_loop", description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--jobs", type=float, default=100.0, help="percent of the polls that bring a job")
    parser.add_argument("--cycle", type=float, default=5.0, help="seconds from an empty poll to the next, 0.05 or more")
    parser.add_argument("--kind", choices=["fast", "httpx"], default="fast", help="the transport")
    parser.add_argument("--profile", metavar="ORDER", help="print a profile in this order, as 'tottime'")
    parser.add_argument("--url", help="a gateway to run against")
    options = parser.parse_args()
    plan = FleetPlan(options.nodes, options.cycle, transport=options.kind)
    if options.url:
        uvloop.run(hold(options.url, plan))
    elif options.profile:
        cores, profiler = two_cores(), cProfile.Profile()
        with static_gateway(jobs_percent=options.jobs, core=cores.server) as gateway:
            os.sched_setaffinity(0, {cores.client})
            uvloop.run(hold(gateway.url, plan, options.seconds, profiler))
        pstats.Stats(profiler).sort_stats(options.profile).print_stats(450)
    else:
        turn = measured(plan, options.jobs, options.seconds)
        costs = sorted(window.cpu_us for window in turn.windows)
        print(
            f"{options.kind}: {turn.per_s:,.0f} requests/s, CPU of each in µs: median {turn.cpu_us:.1f}, "
            f"least {costs[0]:.1f}, most {costs[-1]:.1f} of {len(costs)} windows"
        )


if __name__ == "__main__":
    try:
        main()
    except Unmeasurable as error:
        sys.exit(str(error))
