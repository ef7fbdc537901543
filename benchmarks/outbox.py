"""What the outbox takes: results a second, and how long a result waits for the disk.

Run as ``.venv/bin/python -m benchmarks.outbox`` (``--help`` for the rest). A result is put, and accepted once it
is on disk. In the closed loop each of ``--nodes`` puts its next result when the last is accepted; in the open loop
results come at ``--rate`` a second whatever the outbox does, and waiting counts from the time at which a result was
due. ``--delay-ms`` is added to every commit, as a slow disk would. What lives when a run starts is frozen out of
garbage collection: a full one stops the event loop, and so all results, for 20 ms and more.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.alone import told_by
from benchmarks.cores import two_cores
from benchmarks.figures import Found, Kind, Spread
from node.domain.events import Event
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import OutboxPolicy
from node.domain.results import FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.outbox.codec import encode
from node.outbox.memory import MemoryOutbox
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Outbox
from node.runtime.database import Database
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner

TEXT = "It depends on the weather, mostly. " * 57


class Deaf:
    """Takes events and forgets them."""

    def emit(self, event: Event) -> None:
        """See `node.ports.events.EventSink.emit`."""


@dataclass
class Measured:
    """The results of one run: seconds, and seconds of waiting for the disk."""

    offered: str
    took_s: float = 0.0
    cpu_s: float = 0.0
    commits: int = 0
    put_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Results a second."""
        return len(self.whole_s) / self.took_s

    @property
    def put_p99_ms(self) -> float:
        """How long a put waits for the disk, p99."""
        return quantile(self.put_s, 0.99) * 1e3

    def row(self) -> list[str]:
        """As the table shows it."""
        number = len(self.whole_s)
        return [
            self.offered,
            f"{self.per_s:,.0f}",
            f"{quantile(self.put_s, 0.5) * 1e3:.1f}",
            f"{self.put_p99_ms:.1f}",
            f"{quantile(self.whole_s, 0.99) * 1e3:.1f}",
            f"{number / max(self.commits, 1):.1f}",
            f"{self.cpu_s / number * 1e6:.0f}",
        ]


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def results(nodes: int) -> Iterator[FinishedJob]:
    """Results of about 2 KB, node by node."""
    outcome = Success(Generation(TEXT, "llama3.1:latest", "synthetic", 12, 400, "stop"))
    receipt = {"api_key": Secret("0123456789abcdef0123456789abcdef")}
    source = SourceId("http://127.0.0.1:8080")
    for number in itertools.count():
        key = JobKey(source, NodeId(f"node-{number % nodes}"), JobId(str(uuid.uuid4())))
        now = time.time()
        yield FinishedJob(key, outcome, now, now, receipt)


async def one(outbox: Outbox, finished: FinishedJob, due: float, measured: Measured) -> None:
    """Put a result and accept it."""
    await outbox.put(finished)
    measured.put_s.append(time.perf_counter() - due)
    await outbox.accept(finished.key)
    measured.whole_s.append(time.perf_counter() - due)


async def closed_loop(outbox: Outbox, number: int, nodes: int, measured: Measured) -> None:
    """Each node puts its next result when the last is accepted."""
    left = itertools.islice(results(nodes), number)

    async def node() -> None:
        for finished in left:
            await one(outbox, finished, time.perf_counter(), measured)

    await asyncio.gather(*(node() for _ in range(nodes)))


async def open_loop(outbox: Outbox, number: int, nodes: int, rate: float, measured: Measured) -> None:
    """Results come evenly spaced in time."""
    started = time.perf_counter()
    tasks = TaskOwner(print)
    for place, finished in enumerate(itertools.islice(results(nodes), number)):
        due = started + place / rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        tasks.start(one(outbox, finished, due, measured), f"result {place}")
    await tasks.join()


async def busy(share: float) -> None:
    """Keep the event loop at work for this share of the time, as a busy fleet does."""
    while True:
        end = time.perf_counter() + 0.01 * share
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0.01 * (1 - share))


Load = Callable[[Outbox, Measured], Coroutine[Any, Any, None]]


async def measure(folder: Path, delay_s: float, busy_share: float, load: Load, measured: Measured) -> Measured:
    """Run one load on a fresh outbox."""

    def before_commit() -> None:
        measured.commits += 1
        if delay_s:
            time.sleep(delay_s)

    path = folder / str(uuid.uuid4()) / "outbox.sqlite"
    outbox = await SqliteOutbox.open(path, OutboxPolicy(), SystemClock(), Deaf(), before_commit=before_commit)
    measured.commits = 0
    gc.collect()
    gc.freeze()
    company = asyncio.create_task(busy(busy_share)) if busy_share else None
    started, cpu = time.perf_counter(), time.process_time()
    await load(outbox, measured)
    measured.took_s, measured.cpu_s = time.perf_counter() - started, time.process_time() - cpu
    if company is not None:
        company.cancel()
    await outbox.aclose()
    return measured


async def costs(folder: Path, number: int = 5000) -> list[tuple[str, float]]:
    """Microseconds of CPU, all threads together, of single steps, in batches of 50 at once."""
    found: list[tuple[str, float]] = []

    async def timed(name: str, calls: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        cpu = time.process_time()
        for start in range(0, number, 50):
            await asyncio.gather(*map(calls, range(start, start + 50)))
        found.append((name, (time.process_time() - cpu) / number * 1e6))

    async def nothing(_: int) -> None:
        pass

    schema = ["CREATE TABLE things(id INTEGER PRIMARY KEY, text TEXT)"]
    database = await Database.open(folder / "things.sqlite", schema)
    memory = MemoryOutbox(OutboxPolicy(), SystemClock())
    outbox = await SqliteOutbox.open(folder / "costs.sqlite", OutboxPolicy(), SystemClock(), Deaf())
    made = list(itertools.islice(results(100), number))
    await timed("an empty task of gather", nothing)
    await timed("Database.write of one row", lambda _: database.write(("INSERT INTO things(text) VALUES ('x')", ())))
    await timed("codec.encode", lambda place: as_task(encode, made[place]))
    await timed("MemoryOutbox.put", lambda place: memory.put(made[place]))
    await timed("MemoryOutbox.accept", lambda place: memory.accept(made[place].key))
    await timed("SqliteOutbox.put", lambda place: outbox.put(made[place]))
    await timed("SqliteOutbox.accept", lambda place: outbox.accept(made[place].key))
    await database.aclose()
    await outbox.aclose()
    return found


async def as_task(call: Callable[[FinishedJob], object], finished: FinishedJob) -> None:
    """Call something that does not wait."""
    call(finished)


def loads(options: argparse.Namespace) -> dict[str, Load]:
    """What is measured, by name."""

    def closed(outbox: Outbox, run: Measured) -> Coroutine[Any, Any, None]:
        return closed_loop(outbox, options.results, options.nodes, run)

    def opened(outbox: Outbox, run: Measured) -> Coroutine[Any, Any, None]:
        return open_loop(outbox, options.results, options.nodes, options.rate, run)

    return {"closed": closed, "open": opened}


async def main(options: argparse.Namespace) -> None:
    """Measure and print."""
    offered = {"closed": f"closed, {options.nodes} nodes", "open": f"open, {options.rate:g}/s"}
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for disk, delay_ms in (("", 0.0), ("_slow_disk", options.delay_ms)):
            for kind, load in loads(options).items():
                run = Measured(f"{offered[kind]}, +{delay_ms:g} ms a commit")
                found[f"{kind}{disk}"] = await measure(folder, delay_ms / 1e3, options.busy, load, run)
        steps = await costs(folder) if options.costs else []
    if options.json:
        figures = {kind: {"per_s": run.per_s, "put_p99_ms": run.put_p99_ms} for kind, run in found.items()}
        print(json.dumps(figures))
        return
    console = Console()
    table = Table(
        "load", "results/s", "put p50 ms", "put p99 ms", "put+accept p99 ms", "results/commit", "CPU µs/result"
    )
    for run in found.values():
        table.add_row(*run.row())
    console.print(table)
    for step, micros in steps:
        console.print(f"{micros:6.1f} µs  {step}")


_KINDS = [
    Kind("outbox.closed.per_s", "outbox on disk: 1,000 nodes put and have accepted what they can", "1/s"),
    Kind("outbox.open.put_p99_ms", "outbox on disk, 2,200 results a second: a put, p99", "ms"),
    Kind(
        "outbox.open_slow_disk.per_s",
        "outbox on a disk 20 ms slower, 2,200 results a second: taken",
        "1/s",
        is_detail=True,
    ),
    Kind(
        "outbox.open_slow_disk.put_p99_ms",
        "outbox on a disk 20 ms slower, 2,200 results a second: a put, p99",
        "ms",
        is_detail=True,
    ),
]


def kinds() -> list[Kind]:
    """What is measured of the outbox."""
    return _KINDS


def measured(number: int, rounds: int) -> Found:
    """The figures of `kinds`, of so many results a load, over so many rounds.

    Raises:
        Unmeasurable: see `told_by` and `two_cores`.
    """
    core = two_cores().client
    told = [told_by("outbox", "--results", str(number), within_s=300, core=core) for _ in range(rounds)]
    made: dict[str, Spread | str] = {}
    for kind in _KINDS:
        _, load, name = kind.name.split(".")
        made[kind.name] = Spread.of([each[load][name] for each in told])
    return made


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.outbox", description=__doc__)
    parser.add_argument("--results", type=int, default=20_000, help="results a run (20000)")
    parser.add_argument("--nodes", type=int, default=1000, help="nodes (1000)")
    parser.add_argument("--rate", type=float, default=2200, help="results a second in the open loop (2200)")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="added to a commit in the slow runs (20)")
    parser.add_argument("--busy", type=float, default=0.0, help="share of its time the loop has other work (0)")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--folder", type=Path, default=None, help="where the files go (the system's folder for such)")
    parser.add_argument("--costs", action="store_true", help="the cost of single steps as well")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = options()
    factory = uvloop.new_event_loop if chosen.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(chosen))
