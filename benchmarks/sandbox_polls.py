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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.alone import told_by
from benchmarks.cores import on_core, two_cores
from benchmarks.figures import Found, Goal, Kind, Spread, Unmeasurable
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess

FEW = 500
TRIVIAL = "trivial starlette app"
EMPTY = "empty poll, {} nodes take turns"
SUBMIT = "submit a job"
BRINGS = "poll that brings a job"

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


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="length of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--trivial", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trivial:
        await serve_trivial()
        return
    if shutil.which("wrk") is None:
        raise Unmeasurable("wrk is missing: apt-get install wrk")
    server_core, client_core = two_cores()
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
    report(figures, options.nodes, took_s, as_json=options.json)


def cases(trivial: str, url: str, tokens: Path, nodes: int) -> list[Case]:
    """What is measured, the yardstick first."""

    def polls(count: int) -> str:
        return POLL_SCRIPT.format(file=tokens, count=min(count, nodes))

    def post(body: dict[str, Any]) -> str:
        return POST_SCRIPT.format(body=json.dumps(body), count=nodes)

    return [
        Case(TRIVIAL, trivial + "/worker/get_job"),
        Case(EMPTY.format(FEW), url + "/worker/get_job", polls(FEW)),
        Case(EMPTY.format(nodes), url + "/worker/get_job", polls(nodes)),
        Case("ping, through the framework", url + "/worker/ping"),
        Case("step 2, secret", url + "/check_node_secret", post(SECRET)),
        Case("step 3, identity", url + "/node/check", post(IDENTITY)),
        Case("step 4, register: signs a token", url + "/worker/register_node", post(REGISTRATION)),
        Case(SUBMIT, url + "/submit_job", post(JOB), rounds=1),
        Case(BRINGS, url + "/worker/get_job", polls(nodes), seconds=1, rounds=1),
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


def report(figures: dict[str, Figures], nodes: int, took_s: float, *, as_json: bool) -> None:
    """Print a table, or all values as JSON."""
    if as_json:
        print(json.dumps({"nodes": nodes, "registered_s": took_s, "cases": {k: asdict(v) for k, v in figures.items()}}))
        return
    middle = statistics.median
    table = Table("what", "requests/s", "x trivial", "p99 ms", "not 2xx")
    for what, each in figures.items():
        values = f"{middle(each.per_s):,.0f}", f"{middle(each.ratios):.2f}", f"{middle(each.p99_ms):.1f}"
        table.add_row(what, *values, str(each.failed))
    Console(width=110).print(table)
    print(f"{nodes} nodes registered (4 requests each) in {took_s:.1f} s")


def kinds() -> list[Kind]:
    """What is measured of the sandbox."""
    many = "nodes take turns"
    return [
        Kind("sandbox.polls_per_s", f"sandbox on one core: empty polls, {FEW} {many}", "1/s", Goal(at_least=8000)),
        Kind("sandbox.polls_many_per_s", f"sandbox on one core: empty polls, all {many}", "1/s", is_detail=True),
        Kind("sandbox.jobs_per_s", "sandbox on one core: polls that bring a job", "1/s"),
        Kind("sandbox.submits_per_s", "sandbox on one core: jobs submitted", "1/s", is_detail=True),
        Kind("sandbox.ratio_vs_trivial", "sandbox, empty polls, by an app of one constant route", "×"),
        Kind("sandbox.poll_p99_ms", "sandbox on one core: an empty poll at that rate, p99", "ms", is_detail=True),
    ]


def measured(rounds: int, seconds: int, nodes: int) -> Found:
    """The figures of `kinds`.

    Raises:
        Unmeasurable: see `told_by`; or wrk is missing.
    """
    flags = ["--rounds", str(rounds), "--seconds", str(seconds), "--nodes", str(nodes)]
    told = told_by("sandbox_polls", *flags, within_s=300 + rounds * seconds * 10)["cases"]
    polls, many = told[EMPTY.format(FEW)], told[EMPTY.format(nodes)]
    made: dict[str, Spread | str] = {
        "sandbox.polls_per_s": Spread.of(polls["per_s"]),
        "sandbox.polls_many_per_s": Spread.of(many["per_s"]),
        "sandbox.jobs_per_s": Spread.of(told[BRINGS]["per_s"]),
        "sandbox.submits_per_s": Spread.of(told[SUBMIT]["per_s"]),
        "sandbox.ratio_vs_trivial": Spread.of(polls["ratios"]),
        "sandbox.poll_p99_ms": Spread.of(polls["p99_ms"]),
    }
    if polls["failed"]:
        made["sandbox.polls_per_s"] = f"{polls['failed']} polls failed"
    return made


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
    command = on_core(core, "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency")
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
    command = on_core(core, sys.executable, "-m", "benchmarks.sandbox_polls", "--trivial")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("the pipe was not asked for")
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except Unmeasurable as error:
        sys.exit(str(error))
