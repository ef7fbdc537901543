"""How much the sandbox gateway answers on one core, beside a trivial application on the same server.

Run as ``.venv/bin/python -m benchmarks.sandbox_polls`` on Linux with ``wrk`` and ``taskset`` installed. The gateway
and the trivial one (uvicorn, starlette, one route that answers a constant) are pinned to one core, wrk to another, and
take turns within each round; figures are medians of the rounds, ratios those to the trivial one of the same round.
``--nodes`` are registered first, step by step as nodes do, which is timed too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess

FEW = 500
TRIVIAL = "trivial starlette app"

POLL_SCRIPT = """
local tokens, turn = {{}}, 0
for line in io.lines("{file}") do tokens[#tokens + 1] = "Bearer " .. line end
request = function()
  turn = turn % {count} + 1
  return wrk.format("GET", "/worker/get_job?node_version=0.0.4", {{["Authorization"] = tokens[turn]}})
end
"""

POST_SCRIPT = """
local turn = 0
wrk.headers["api_key"] = "benchmark"
request = function()
  turn = turn + 1
  return wrk.format("POST", nil, nil, (string.gsub('{body}', "NODE", "node-" .. turn % {count})))
end
"""

JOB = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_output": 64, "temperature": 0.5}
SECRET = {"node_id": "NODE", "secret": "s"}
IDENTITY = {"node_id": "NODE", "pub_key": "k", "account_id": "a"}
STATS = {"ram": 16384, "cpu": 8, "vram": 8192, "gpu": "x", "os": "linux"}
REGISTRATION = {"node_url": "NODE", "node_version": "0.0.4", "stats": STATS}


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request for wrk."""

    what: str
    url: str
    script: str = ""
    seconds: float | None = None
    rounds: int | None = None


@dataclass(slots=True)
class Figures:
    """What wrk measured, a value a round: requests a second, their ratio to the trivial application, p99 in ms."""

    per_s: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    failed: int = 0


async def main() -> int:
    """Measure and print a table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="length of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--trivial", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trivial:
        await serve_trivial()
        return 0
    if not (shutil.which("wrk") and shutil.which("taskset")) or len(os.sched_getaffinity(0)) < 2:
        sys.stderr.write("needs wrk, taskset and two cores\n")
        return 2
    server_core, client_core = sorted(os.sched_getaffinity(0))[:2]
    tasks = TaskOwner(print)
    os.sched_setaffinity(0, {client_core})
    async with trivial_app(server_core) as trivial:
        gateway = await SandboxProcess.start(SandboxPolicy(max_pending=10_000_000), tasks, on_line=print)
        os.sched_setaffinity(gateway.handshake.pid, {server_core})
        try:
            began = time.monotonic()
            tokens = await register(gateway.handshake.url, options.nodes)
            took_s = time.monotonic() - began
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "tokens"
                file.write_text("\n".join(tokens))
                turns = cases(trivial, gateway.handshake.url, file, options.nodes)
                figures = await measure(turns, Path(folder) / "script.lua", client_core, options)
        finally:
            await gateway.stop()
            await tasks.join()
    report(figures, options.nodes, took_s, options.json)
    return 0


def cases(trivial: str, url: str, tokens: Path, nodes: int) -> list[Case]:
    """What is measured, the yardstick first."""

    def polls(count: int) -> str:
        return POLL_SCRIPT.format(file=tokens, count=min(count, nodes))

    def post(body: dict[str, Any]) -> str:
        return POST_SCRIPT.format(body=json.dumps(body), count=nodes)

    return [
        Case(TRIVIAL, trivial + "/worker/get_job"),
        Case(f"empty poll, {FEW} nodes take turns", url + "/worker/get_job", polls(FEW)),
        Case(f"empty poll, {nodes} nodes take turns", url + "/worker/get_job", polls(nodes)),
        Case("ping, through the framework", url + "/worker/ping"),
        Case("step 2, secret", url + "/check_node_secret", post(SECRET)),
        Case("step 3, identity", url + "/node/check", post(IDENTITY)),
        Case("step 4, register: signs a token", url + "/worker/register_node", post(REGISTRATION)),
        Case("submit a job", url + "/submit_job", post(JOB), rounds=1),
        Case("poll that brings a job", url + "/worker/get_job", polls(nodes), seconds=1, rounds=1),
    ]


async def measure(turns: list[Case], script: Path, core: int, options: argparse.Namespace) -> dict[str, Figures]:
    """The figures by case."""
    figures = {case.what: Figures() for case in turns}
    for number in range(options.rounds):
        for case in turns:
            if number < (case.rounds or options.rounds):
                seconds = case.seconds or options.seconds
                await wrk(case, script, core, seconds, options.connections, figures[case.what])
        for each in figures.values():
            if len(each.per_s) > number:
                each.ratios.append(each.per_s[number] / figures[TRIVIAL].per_s[number])
    return figures


def report(figures: dict[str, Figures], nodes: int, took_s: float, file: Path | None) -> None:
    """Print a table, and write the figures where they are wanted."""
    middle = statistics.median
    table = Table("what", "requests/s", "x trivial", "p99 ms", "not 2xx")
    for what, each in figures.items():
        values = f"{middle(each.per_s):,.0f}", f"{middle(each.ratios):.2f}", f"{middle(each.p99_ms):.1f}"
        table.add_row(what, *values, str(each.failed))
    Console(width=110).print(table)
    sys.stdout.write(f"{nodes} nodes registered (4 requests each) in {took_s:.1f} s\n")
    if file is not None:
        content = {
            what: {"per_s": middle(each.per_s), "ratio": middle(each.ratios), "p99_ms": middle(each.p99_ms)}
            for what, each in figures.items()
        }
        file.write_text(json.dumps({"nodes": nodes, "registered_s": took_s, "cases": content}, indent=2) + "\n")


async def register(url: str, count: int, connections: int = 50) -> list[str]:
    """Tokens of new nodes that offer the model ``m``, each after steps 2 to 5."""
    host, _, port = url.removeprefix("http://").partition(":")
    tokens = [""] * count
    numbers = iter(range(count))

    async def some() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))

        async def post(path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
            content = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
            bearer = f"Authorization: Bearer {token}\r\n" if token else ""
            writer.write(f"{head}{bearer}\r\n".encode() + content)
            reply = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", reply)
            answer = await reader.readexactly(int(length[1]) if length else 0)
            if not reply.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {reply!r}")
            told: dict[str, Any] = json.loads(answer)
            return told

        for number in numbers:
            node = f"node-{number}"
            await post("/check_node_secret", {**SECRET, "node_id": node})
            await post("/node/check", {**IDENTITY, "node_id": node})
            tokens[number] = (await post("/worker/register_node", {**REGISTRATION, "node_url": node}))["access_token"]
            await post("/worker/update_models", {"node_url": node, "models": ["m"]}, tokens[number])
        writer.close()

    await asyncio.gather(*(some() for _ in range(connections)))
    return tokens


async def wrk(case: Case, script: Path, core: int, seconds: float, connections: int, into: Figures) -> None:
    """One round of wrk on a core of its own."""
    await asyncio.to_thread(script.write_text, case.script)
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    process = await asyncio.create_subprocess_exec(
        *command, "-s", str(script), case.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if per_s is None or p99 is None:
        raise RuntimeError(output)
    into.per_s.append(float(per_s[1]))
    into.p99_ms.append(float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]])
    into.failed += int(failed[1]) if failed else 0


async def _constant(_request: Request) -> JSONResponse:
    return JSONResponse({"job_data": None})


async def serve_trivial() -> None:
    """Serve the yardstick, and say where."""
    app = Starlette(routes=[Route("/worker/get_job", _constant)])
    # With the protocol named, Nagle's algorithm is off for the connections.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])


@contextlib.asynccontextmanager
async def trivial_app(core: int) -> AsyncIterator[str]:
    """The URL of the yardstick, in a process on this core."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.sandbox_polls", "--trivial"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("the pipe was not asked for")
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
