"""A result is on disk before it is first sent, and stays there through a kill -9."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from node.domain.ids import NodeId
from node.domain.policies import OutboxPolicy
from node.outbox.sender import Sender
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Keeping
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.outbox.results import ScriptedSource, finished, key

N1 = NodeId("n1")


@pytest.mark.parametrize("cancelled", [False, True])
async def test_nothing_is_sent_before_it_is_on_disk(tmp_path: Path, cancelled: bool) -> None:
    gate = threading.Event()
    gate.set()
    clock, events, policy = SystemClock(), RecordingSink(), OutboxPolicy()
    outbox = await SqliteOutbox.open(
        tmp_path / "outbox.sqlite", policy, clock, events, before_commit=lambda: gate.wait(20) and None
    )
    sender, stop, source = Sender(outbox, clock, random.Random(1), events, policy), Signal(), ScriptedSource()
    run = asyncio.create_task(sender.run(stop))
    sender.attach(N1, source)
    gate.clear()
    put = asyncio.create_task(sender.put(finished("a")))
    await asyncio.sleep(0.02)
    if cancelled:
        put.cancel()
    await asyncio.sleep(0.02)
    assert sender.keeping(key("a")) is Keeping.PENDING
    assert source.calls == []
    if cancelled:
        assert not await sender.flushed(N1, 0)
    gate.set()
    await wait_until(lambda: sender.keeping(key("a")) is Keeping.ACCEPTED)
    assert source.jobs == ["a"]
    stop.set()
    await run
    await outbox.aclose()


WRITER = """
import asyncio, sys
from pathlib import Path
from node.domain.policies import OutboxPolicy
from node.outbox.sqlite import SqliteOutbox
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.unit.outbox.results import finished, key

async def write(outbox, run, writer):
    for number in range(1_000_000):
        job = f"{run}-{writer}-{number}"
        await outbox.put(finished(job, text="x" * 500))
        print("put", job, flush=True)
        if number % 3 == 0:
            await outbox.accept(key(job))
            print("accepted", job, flush=True)

async def main():
    path, run = Path(sys.argv[1]), sys.argv[2]
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    print("open", outbox.count(), flush=True)
    await asyncio.gather(*(write(outbox, run, writer) for writer in range(20)))

asyncio.run(main())
"""


def write_until_killed(path: Path, run: int, seconds: float) -> tuple[set[str], set[str]]:
    """The jobs whose results were put, and those that were accepted, as the writer told before it was killed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", WRITER, str(path), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("open ")
        killer = threading.Timer(seconds, writer.kill)
        killer.start()
        # The last line may be cut off in the middle.
        lines = [line.split() for line in writer.stdout if line.endswith("\n")]
        killer.join()
    assert writer.returncode == -signal.SIGKILL
    told: dict[str, set[str]] = {"put": set(), "accepted": set()}
    for what, job in lines:
        told[what].add(job)
    return told["put"], told["accepted"]


async def states(path: Path, jobs: set[str]) -> dict[str, Keeping]:
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), RecordingSink())
    assert list(outbox.dead()) == []
    found = {job: outbox.keeping(key(job)) for job in jobs}
    await outbox.aclose()
    return found


@pytest.mark.proof
def test_what_was_put_is_there_after_a_kill(tmp_path: Path) -> None:
    path, chance = tmp_path / "state" / "outbox.sqlite", random.Random(time.time_ns())
    put: set[str] = set()
    accepted: set[str] = set()
    for run in range(10):
        more_put, more_accepted = write_until_killed(path, run, chance.uniform(0.02, 0.25))
        put |= more_put
        accepted |= more_accepted
    assert put
    found = asyncio.run(states(path, put))
    assert {job for job in put if found[job] is Keeping.UNKNOWN} == set()
    assert {job for job in accepted if found[job] is not Keeping.ACCEPTED} == set()
    # What waits was not accepted as far as the writer told; an acceptance may have been cut off on its way to us.
    assert {job for job in put - accepted if found[job] is Keeping.ACCEPTED} <= {
        job for job in put if int(job.split("-")[2]) % 3 == 0
    }
