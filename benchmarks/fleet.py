"""How a fleet runs beside its sandbox on this machine: poll lateness, CPU and memory a node.

Run as ``.venv/bin/python -m benchmarks.fleet``. It runs ``main.py simulate`` twice, with a small fleet and with the
wanted one; the difference in memory is what the nodes take. CPU is that of the fleet's process alone, from when all
nodes have started. Everything stays on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.cores import bound
from benchmarks.figures import Found, Goal, Kind, Spread, Unmeasurable

ROOT: Final = Path(__file__).resolve().parents[1]
SMALL: Final = 20
_SETTLE_S: Final = 5.0
_SLICES: Final = 10
"""The time that is looked at is cut into so many parts, to see how much the CPU share varies."""


class Plan(NamedTuple):
    """A fleet, and for how long it is looked at once all have started; ``ramp_s`` is how long that takes."""

    nodes: int
    seconds: float
    cycle_s: float = 5.0
    jobs_per_s: float = 20.0
    ramp_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its summary, and what its process took (resident MiB at the most, CPU shares by part of the time)."""

    summary: dict[str, Any]
    rss_mib: float
    cpu_shares: Sequence[float]


def run(plan: Plan, folder: Path) -> Run:
    """Run a fleet and watch its process.

    Raises:
        Unmeasurable: it ended otherwise than well.
    """
    roster, summary = folder / f"{plan.nodes}.csv", folder / f"{plan.nodes}.json"
    main = [sys.executable, str(ROOT / "main.py")]
    accounts = ["--accounts", str(max(1, plan.nodes // 20))]
    make_roster = [*main, "roster", "--nodes", str(plan.nodes), *accounts, "-o", str(roster)]
    subprocess.run(make_roster, stdout=subprocess.DEVNULL, check=True)
    # An account's 20 nodes start after one another.
    all_up_s = plan.ramp_s + 20 * 0.2 + _SETTLE_S
    settings = {
        "node.poll_cycle_s": plan.cycle_s,
        "workload.jobs_per_s": plan.jobs_per_s,
        "fleet.max_start_delay_s": plan.ramp_s,
        "fleet.start_spacing_s": 0.2,
        "fleet.points_check_s": 600,
    }
    flags = ["--nodes", str(roster), "--summary", str(summary), "--state-dir", str(folder / f"state{plan.nodes}")]
    flags += ["--duration", f"{all_up_s + plan.seconds + 2:g}s", "--no-dashboard"]
    flags += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    with (folder / "output").open("w+") as output:
        started = subprocess.Popen(
            bound(*main, "simulate", *flags), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            time.sleep(all_up_s)
            rss, shares = _watch(psutil.Process(started.pid), plan.seconds)
            code = started.wait(120)
        except psutil.NoSuchProcess:
            code = started.wait(10)
            rss, shares = 0.0, []
        finally:
            started.kill()
            started.wait()
    if code != 0 or not shares:
        lines = (folder / "output").read_text().strip().splitlines()
        raise Unmeasurable(f"simulate ended with exit code {code}: {lines[-1] if lines else 'it said nothing'}")
    return Run(json.loads(summary.read_text()), rss, shares)


def _watch(process: psutil.Process, seconds: float) -> tuple[float, list[float]]:
    peak, shares = 0, []
    for _ in range(_SLICES):
        began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(seconds / _SLICES)
        shares.append((sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - began))
        peak = max(peak, process.memory_info().rss)
    return peak / 1024 / 1024, shares


def kinds(nodes: int) -> list[Kind]:
    """What is measured of a simulated fleet."""
    of = f"simulate, {nodes:,} nodes, a poll each 5 s, 20 jobs/s"
    return [
        Kind("simulate.cpu_share", f"{of}: CPU of the fleet's process", "% of a core", Goal(at_most=10)),
        Kind("simulate.late_p99_ms", f"{of}: lateness of a poll, p99", "ms"),
        Kind("simulate.poll_p99_ms", f"{of}: a poll, p99", "ms", is_detail=True),
        Kind("simulate.kib_a_node", f"{of}: memory above {SMALL} nodes", "KiB a node"),
        Kind("simulate.jobs_lost", f"{of}: jobs lost", "jobs", Goal(at_most=0)),
    ]


def measured(plan: Plan) -> Found:
    """The figures of `kinds`; the CPU share is the mean over all the time, its spread that of ten parts of it.

    Raises:
        Unmeasurable: a run ended otherwise than well.
    """
    with tempfile.TemporaryDirectory() as name:
        small = run(plan._replace(nodes=SMALL, seconds=5, ramp_s=2), Path(name))
        large = run(plan, Path(name))
    parts = Spread.of([100 * share for share in large.cpu_shares])
    mean = 100 * sum(large.cpu_shares) / len(large.cpu_shares)
    latency, jobs = large.summary["latency_ms"], large.summary["jobs"]
    return {
        "simulate.cpu_share": Spread(mean, parts.p25, parts.p75, parts.n),
        "simulate.late_p99_ms": Spread.of([latency["poll_lateness"]["p99"]]),
        "simulate.poll_p99_ms": Spread.of([latency["poll"]["p99"]]),
        "simulate.kib_a_node": Spread.of([(large.rss_mib - small.rss_mib) * 1024 / (plan.nodes - SMALL)]),
        "simulate.jobs_lost": Spread.of([jobs["lost"]]),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120, help="time that is looked at, once all have started")
    parser.add_argument("--cycle", type=float, default=5.0, help="poll cycle in seconds")
    parser.add_argument("--jobs", type=float, default=20.0, help="jobs a second")
    parser.add_argument("--ramp", type=float, default=30.0, help="seconds over which the nodes start")
    options = parser.parse_args()
    plan = Plan(options.nodes, options.seconds, options.cycle, options.jobs, options.ramp)
    with tempfile.TemporaryDirectory() as name:
        small = run(plan._replace(nodes=SMALL, seconds=5, ramp_s=2), Path(name))
        large = run(plan, Path(name))
    latency, jobs = large.summary["latency_ms"], large.summary["jobs"]
    kib_a_node = (large.rss_mib - small.rss_mib) * 1024 / (plan.nodes - SMALL)
    share = sum(large.cpu_shares) / len(large.cpu_shares)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{plan.nodes} nodes, cycle {plan.cycle_s:g} s, {plan.jobs_per_s:g} jobs/s, {plan.seconds:g} s")
    print(f"poll lateness ms     p50 {latency['poll_lateness']['p50']:.1f}  p99 {latency['poll_lateness']['p99']:.1f}")
    print(f"poll ms              p50 {latency['poll']['p50']:.1f}  p99 {latency['poll']['p99']:.1f}")
    print(f"polls                {large.summary['polls']}, {large.summary['polls_failed']} failed")
    print(f"jobs                 {jobs['received']} received, {jobs['answered']} answered, {jobs['lost']} lost")
    print(f"CPU of the fleet     {share:.1%} of one core")
    print(
        f"memory               {large.rss_mib:.0f} MiB; {SMALL} nodes {small.rss_mib:.0f}; {kib_a_node:.1f} KiB a node"
    )


if __name__ == "__main__":
    try:
        main()
    except Unmeasurable as error:
        sys.exit(str(error))
