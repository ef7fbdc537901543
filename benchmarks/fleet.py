"""How a fleet runs beside its sandbox on this machine: poll lateness, CPU and memory a node.

Runs ``main.py simulate`` twice, with a small fleet and with the wanted one; the difference in memory is what the
nodes take. Everything stays on loopback and ends by itself.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SMALL = 20


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its summary, and what its process took in its second half (resident MB at the most, CPU share)."""

    summary: dict[str, Any]
    rss_mb: float
    cpu_share: float


def run(nodes: int, seconds: int, cycle_s: float, jobs_per_s: float, ramp_s: float, folder: Path) -> Run:
    """Run a fleet for so long and watch its process."""
    roster, summary = folder / f"{nodes}.csv", folder / f"{nodes}.json"
    main = [sys.executable, str(ROOT / "main.py")]
    accounts = max(1, nodes // 20)
    subprocess.run([*main, "roster", "--nodes", str(nodes), "--accounts", str(accounts), "-o", str(roster)], check=True)
    settings = {
        "node.poll_cycle_s": cycle_s,
        "workload.jobs_per_s": jobs_per_s,
        "fleet.max_start_delay_s": ramp_s,
        "fleet.points_check_s": 600,
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [
            *main,
            "simulate",
            "--nodes",
            str(roster),
            "--duration",
            f"{seconds}s",
            "--summary",
            str(summary),
            "--state-dir",
            str(folder / f"state{nodes}"),
            "--no-dashboard",
            *flags,
        ],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(seconds / 2)
    began, cpu_before, peak = time.monotonic(), _cpu_s(process.pid), 0.0
    while process.poll() is None and time.monotonic() - began < seconds / 2 - 2:
        peak = max(peak, _rss_mb(process.pid))
        time.sleep(1)
    share = (_cpu_s(process.pid) - cpu_before) / (time.monotonic() - began)
    if process.wait(120) != 0:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return Run(json.loads(summary.read_text()), peak, share)


def _ps(pid: int, column: str) -> str:
    return subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout


def _rss_mb(pid: int) -> float:
    return int(_ps(pid, "rss")) / 1024


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process: from /proc where there is one, else to the second from ps."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    hours, minutes, seconds = _ps(pid, "cputime").strip().rpartition("-")[2].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=180, help="length of each run")
    parser.add_argument("--cycle", type=float, default=5.0, help="poll cycle in seconds")
    parser.add_argument("--jobs", type=float, default=20.0, help="jobs a second")
    parser.add_argument("--ramp", type=float, default=30.0, help="seconds over which the nodes start")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = run(SMALL, 40, options.cycle, 4, 3, folder)
        large = run(options.nodes, options.seconds, options.cycle, options.jobs, options.ramp, folder)
    latency, jobs = large.summary["latency_ms"], large.summary["jobs"]
    per_node_kb = (large.rss_mb - small.rss_mb) * 1024 / (options.nodes - SMALL)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{options.nodes} nodes, cycle {options.cycle:g} s, {options.jobs:g} jobs/s, {options.seconds} s")
    print(f"poll lateness ms     p50 {latency['poll_lateness']['p50']:.1f}  p99 {latency['poll_lateness']['p99']:.1f}")
    print(f"poll ms              p50 {latency['poll']['p50']:.1f}  p99 {latency['poll']['p99']:.1f}")
    print(f"polls                {large.summary['polls']}, {large.summary['polls_failed']} failed")
    print(f"jobs                 {jobs['received']} received, {jobs['answered']} answered, {jobs['lost']} lost")
    print(f"CPU of the fleet     {large.cpu_share:.0%} of one core")
    print(
        f"memory               {large.rss_mb:.0f} MB; {SMALL} nodes {small.rss_mb:.0f} MB; {per_node_kb:.1f} KB a node"
    )


if __name__ == "__main__":
    main()
