"""How many polls a second the sandbox gateway answers on one core.

Run as ``.venv/bin/python -m benchmarks.sandbox_polls`` on Linux with ``wrk`` and ``taskset`` installed. The gateway
is pinned to one core, wrk to another; the figures are requests a second, and milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess

NODES = 500

POLL_SCRIPT = """
local tokens = {{{tokens}}}
local turn = 0
request = function()
  turn = turn % #tokens + 1
  return wrk.format("GET", "/worker/get_job?node_version=0.0.4", {{["Authorization"] = "Bearer " .. tokens[turn]}})
end
"""

SUBMIT_SCRIPT = """
wrk.method = "POST"
wrk.headers["api_key"] = "benchmark"
wrk.body = '{"model":"m","messages":[{"role":"user","content":"hello"}],"max_output":64,"temperature":0.5}'
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What wrk measured: requests a second, the 99th percentile in its own unit, answers that were no 2xx."""

    per_s: float
    p99: str
    failed: int


async def main() -> int:
    """Measure and print a table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="length of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=200)
    options = parser.parse_args()
    if not (shutil.which("wrk") and shutil.which("taskset")) or len(os.sched_getaffinity(0)) < 2:
        sys.stderr.write("needs wrk, taskset and two cores\n")
        return 2
    server_core, client_core = sorted(os.sched_getaffinity(0))[:2]
    tasks = TaskOwner(print)
    gateway = await SandboxProcess.start(SandboxPolicy(max_pending=10_000_000), tasks, on_line=print)
    os.sched_setaffinity(gateway.handshake.pid, {server_core})
    table = Table("what", "requests/s, median of rounds", "p99", "not 2xx")
    try:
        tokens = await register(gateway.handshake.url, NODES)
        with tempfile.TemporaryDirectory() as folder:
            for what, path, script, rounds in [
                ("ping, through the framework", "/worker/ping", "", options.rounds),
                (
                    "empty poll, one token",
                    "/worker/get_job",
                    POLL_SCRIPT.format(tokens=f'"{tokens[0]}"'),
                    options.rounds,
                ),
                (f"empty poll, {NODES} tokens", "/worker/get_job", poll_script(tokens), options.rounds),
                ("submit a job", "/submit_job", SUBMIT_SCRIPT, 1),
                ("poll that brings a job", "/worker/get_job", poll_script(tokens), 1),
            ]:
                file = Path(folder) / "script.lua"
                file.write_text(script)
                seconds = 1 if "brings" in what else options.seconds
                measured = [
                    await wrk(gateway.handshake.url + path, file, client_core, seconds, options.connections)
                    for _ in range(rounds)
                ]
                middle = sorted(measured, key=lambda figures: figures.per_s)[len(measured) // 2]
                table.add_row(what, f"{middle.per_s:,.0f}", middle.p99, str(sum(f.failed for f in measured)))
    finally:
        await gateway.stop()
        await tasks.join()
    Console().print(table)
    return 0


def poll_script(tokens: list[str]) -> str:
    """A wrk script that polls with these tokens in turn."""
    return POLL_SCRIPT.format(tokens=",".join(f'"{token}"' for token in tokens))


async def register(url: str, count: int) -> list[str]:
    """Tokens of new nodes that offer the model ``m``."""
    tokens = []
    async with httpx.AsyncClient(base_url=url) as client:
        for number in range(count):
            node = f"node-{number}"
            reply = await client.post("/worker/register_node", json={"node_url": node})
            token = reply.json()["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            await client.post("/worker/update_models", json={"node_url": node, "models": ["m"]}, headers=headers)
            tokens.append(token)
    return tokens


async def wrk(url: str, script: Path, core: int, seconds: int, connections: int) -> Figures:
    """One round of wrk on a core of its own."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    process = await asyncio.create_subprocess_exec(
        *command, "-s", str(script), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+(\S+)", output)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if per_s is None or p99 is None:
        raise RuntimeError(output)
    return Figures(float(per_s[1]), p99[1], int(failed[1]) if failed else 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
