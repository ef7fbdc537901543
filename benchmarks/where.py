"""Where the time of a request goes: what the transport alone takes, and how the rest is divided among the parts.

Run as ``.venv/bin/python -m benchmarks.where``. A whole request of the nodes and one of the transport alone are measured;
what lies between is divided as a profile of the nodes divides it. A profile makes much of parts with many small calls:
the division is an estimate, the sum is not. A profile sees nothing of compiled modules: this is of the interpreted program.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvloop

from benchmarks.alone import told_by
from benchmarks.cores import Cores, two_cores
from benchmarks.figures import Found, Kind, Spread, Unmeasurable
from benchmarks.node_loop import client as node_loop
from benchmarks.node_loop import hold
from benchmarks.request_costs import LOADS, SAYS, Load, transport
from benchmarks.static_gateway import static_gateway
from benchmarks.synthetic_fleet import FleetPlan
from benchmarks.turns import INTERPRETED, Shape, take_turn

PARTS: Final[Mapping[str, str]] = {
    "transport": "transport and kernel, measured alone",
    "worker": "worker: a node's loop, its jobs and gates",
    "gateway": "gateway client: session, verdicts, retries",
    "protocol": "protocol and sources: parsing, judging, wording",
    "outbox": "outbox in memory and its sender",
    "listeners": "events, monitor and metrics",
    "rest": "executor, tasks, timers, signals",
}
"""The parts, by the last word of their figures' names."""

_FOLDERS: Final[Mapping[str, str]] = {
    "worker": "worker",
    "manager": "worker",
    "gateway": "gateway",
    "app": "gateway",
    "protocol": "protocol",
    "sources": "protocol",
    "outbox": "outbox",
    "monitors": "listeners",
    "observability": "listeners",
}
_PLANS: Final[Mapping[Load, FleetPlan]] = {"jobs": FleetPlan(100), "polls": FleetPlan(1000, 0.05)}
_SHAPE: Final = Shape(0.6, 2, 0.5)
_PROFILE_S: Final = 2.0


def measured() -> Found:
    """The figures of `kinds`.

    Raises:
        Unmeasurable: see `told_by`.
    """
    told = told_by("where", within_s=180, environment=INTERPRETED)
    return {f"where.{load}.{part}_us": Spread.of([told[load].get(part, 0.0)]) for load in _PLANS for part in PARTS}


def kinds() -> list[Kind]:
    """What is measured: µs of each part, for requests with jobs and for empty polls."""
    return [
        Kind(f"where.{load}.{part}_us", f"{says}, {SAYS[load]}", "µs", is_detail=True)
        for load in _PLANS
        for part, says in PARTS.items()
    ]


def divided(load: Load, cores: Cores) -> dict[str, float]:
    """µs of CPU of one request, by part."""
    plan, jobs_percent, profiler = _PLANS[load], LOADS[load], cProfile.Profile()
    with static_gateway(jobs_percent=0, core=cores.server) as gateway:
        alone_us = take_turn(transport(200), gateway, cores.client, 0, _SHAPE).cpu_us
    with static_gateway(jobs_percent=jobs_percent, core=cores.server) as gateway:
        whole_us = take_turn(node_loop(plan), gateway, cores.client, jobs_percent, _SHAPE).cpu_us
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cores.client})
        uvloop.run(hold(gateway.url, plan, _PROFILE_S, profiler))
        os.sched_setaffinity(0, before)
    shares = by_part(pstats.Stats(profiler).stats)  # type: ignore[attr-defined]
    above, counted = max(0.0, whole_us - alone_us), sum(shares.values())
    return {"transport": min(alone_us, whole_us), **{part: above * s / counted for part, s in shares.items()}}


def by_part(stats: Mapping[tuple[str, int, str], tuple[Any, ...]]) -> Counter[str]:
    """Seconds by part, of what `pstats` holds; that of other libraries is their callers', the transport is left out."""
    seconds: Counter[str] = Counter()
    for function, (_, _, own_s, _, callers) in stats.items():
        if _part(function) is not None:
            seconds[_part(function) or ""] += own_s
        else:
            for caller, (_, _, by_caller_s, _) in callers.items():
                seconds[_part(caller) or "rest"] += by_caller_s
    del seconds["transport"]
    return seconds


def _part(function: tuple[str, int, str]) -> str | None:
    found = re.search(r"/node/([a-z_]+)/(fast/)?", function[0])
    if found is None:
        return None
    return "transport" if found[2] else _FOLDERS.get(found[1], "rest")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.where", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    cores = two_cores()
    made = {load: divided(load, cores) for load in _PLANS}
    if options.json:
        print(json.dumps(made))
        return
    row: Callable[..., str] = "{:50} {:>10} {:>10}".format
    print(row("µs of CPU a request", *_PLANS))
    for part, says in PARTS.items():
        print(row(says, *(f"{made[load].get(part, 0.0):.1f}" for load in _PLANS)))
    print(row("all", *(f"{sum(made[load].values()):.1f}" for load in _PLANS)))


if __name__ == "__main__":
    try:
        main()
    except Unmeasurable as error:
        sys.exit(str(error))
