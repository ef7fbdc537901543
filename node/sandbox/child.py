"""A sandbox as a process: configured by a document, ended by a signal or by the end of its standard input."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from node.domain.errors import InputFault, InvalidInput, NodeError
from node.domain.events import Crash
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from node.sandbox.assembly import served_sandbox, system_surroundings
from node.sandbox.handshake import Handshake
from node.sandbox.policy import SandboxPolicy, load_policy

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
EXIT_FAILED: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox until SIGINT, SIGTERM or the end of its owner; its exit code, 0 or `EXIT_FAILED`.

    The configuration is a `SandboxPolicy` as JSON: a file, or else the first line of standard input, of at most
    `MAX_DOCUMENT_BYTES`. In the second case the process belongs to whoever writes there, and ends with it, however
    that ends. When it listens it writes a `Handshake` to standard output; why it failed is on standard error.

    Raises:
        SystemExit: the arguments do not fit, or help was asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m node.sandbox", description="A sandbox gateway on a port.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON; without it: the first line of stdin")
    options = parser.parse_args(arguments)
    try:
        policy = None if options.config is None else load_policy(_read(options.config))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(policy))
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    return 0


def _read(config: Path) -> bytes:
    try:
        return config.read_bytes()
    except OSError as error:
        problem = error.strerror or str(error)
        raise InvalidInput([InputFault(str(config), problem, "name a file that can be read")]) from error


async def _run(policy: SandboxPolicy | None) -> None:
    stop = Signal()
    tasks = TaskOwner(_report)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if policy is not None:
        await _serve(policy, stop)
        return
    stdin = asyncio.StreamReader(limit=MAX_DOCUMENT_BYTES)
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    try:
        line = await stdin.readline()
        if line:
            tasks.start(_end_with(stdin, stop), name="sandbox-owner")
            await _serve(load_policy(line), stop)
    finally:
        await tasks.cancel()
        pipe.close()
        await asyncio.sleep(0)


async def _serve(policy: SandboxPolicy, stop: Signal) -> None:
    around = system_surroundings(policy, _report)
    with relaxed_collection():
        async with served_sandbox(policy, around) as (_, handle):
            set_aside()
            handshake = Handshake(url=handle.url, control_token=around.control_token, pid=os.getpid())
            sys.stdout.write(handshake.to_line().decode())
            sys.stdout.flush()
            await stop.wait()


async def _end_with(stdin: asyncio.StreamReader, stop: Signal) -> None:
    while await stdin.read(65536):
        pass
    stop.set()


def _report(crash: Crash) -> None:
    sys.stderr.write(f"{crash.task}: {crash.error}\n{crash.trace}")
