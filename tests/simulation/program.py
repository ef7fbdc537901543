"""The fleet as a process: it starts on its outbox, ends in good order or is killed, and starts again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from node.app.assembly import Fleet, Ground, assembled
from node.domain.errors import StorageError
from node.domain.events import Event
from node.domain.ids import JobKey, NodeId
from node.domain.results import FinishedJob
from node.gateway.deployment import Deployment
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import DeadLetter, Keeping, Outbox
from tests.simulation.checker import Checker
from tests.simulation.disk import Disk, survive
from tests.simulation.engine import Engine
from tests.simulation.faults import Plight, Tally
from tests.simulation.network import Network, NetworkTransports
from tests.simulation.plan import GATEWAY_URL, Plan
from tests.simulation.timeline import Process, ProcessClock, Timeline, new_process

OUTBOX_FILE: Final = "results.sqlite"

Wrap = Callable[[Outbox], Outbox]


class WatchedOutbox:
    """An `Outbox` that tells a checker what it was asked for and what it said was durable."""

    def __init__(self, inner: Outbox, checker: Checker) -> None:
        self._inner = inner
        self._checker = checker

    async def put(self, finished: FinishedJob) -> None:
        """See `Outbox.put`."""
        key = finished.key
        self._checker.asked(key)
        try:
            await self._inner.put(finished)
        except StorageError:
            self._checker.answered(key, None)
            raise
        self._checker.answered(key, self._inner.keeping(key))

    def put_now(self, finished: FinishedJob, /) -> bool:
        """See `Outbox.put_now`."""
        key = finished.key
        self._checker.asked(key)
        is_kept = self._inner.put_now(finished)
        self._checker.answered(key, self._inner.keeping(key) if is_kept else None)
        return is_kept

    async def accept(self, key: JobKey) -> None:
        """See `Outbox.accept`."""
        self._checker.asked(key)
        try:
            await self._inner.accept(key)
        except StorageError:
            self._checker.answered(key, None)
            raise
        self._checker.answered(key, Keeping.ACCEPTED)

    async def bury(self, key: JobKey, reason: str) -> None:
        """See `Outbox.bury`."""
        self._checker.asked(key)
        try:
            await self._inner.bury(key, reason)
        except StorageError:
            self._checker.answered(key, None)
            raise
        self._checker.answered(key, Keeping.DEAD)

    async def revive(self, key: JobKey) -> bool:
        """See `Outbox.revive`."""
        self._checker.asked(key)
        try:
            revived = await self._inner.revive(key)
        except StorageError:
            self._checker.answered(key, None)
            raise
        self._checker.answered(key, Keeping.PENDING if revived else None)
        return revived

    async def drop(self, key: JobKey) -> bool:
        """See `Outbox.drop`."""
        return await self._inner.drop(key)

    async def sweep(self, now: float) -> list[JobKey]:
        """See `Outbox.sweep`."""
        return await self._inner.sweep(now)

    def keeping(self, key: JobKey) -> Keeping:
        """See `Outbox.keeping`."""
        return self._inner.keeping(key)

    def pending(self) -> Iterator[FinishedJob]:
        """See `Outbox.pending`."""
        return self._inner.pending()

    def dead(self) -> Iterator[DeadLetter]:
        """See `Outbox.dead`."""
        return self._inner.dead()

    def count(self, node: NodeId | None = None) -> int:
        """See `Outbox.count`."""
        return self._inner.count(node)

    @property
    def accepting(self) -> bool:
        """See `Outbox.accepting`."""
        return self._inner.accepting

    async def aclose(self) -> None:
        """See `Outbox.aclose`."""
        await self._inner.aclose()


class Program:
    """Runs one fleet process after another; all that passes from one to the next is the outbox's folder."""

    def __init__(
        self,
        timeline: Timeline,
        plan: Plan,
        network: Network,
        checker: Checker,
        tally: Tally,
        folder: Path,
        *,
        record: Callable[[str, Event], None] | None = None,
        wrap: Wrap = lambda outbox: outbox,
    ) -> None:
        self.clock = ProcessClock(timeline, plan.skew_s)
        self.processes: list[Process] = []
        self.fleet: Fleet | None = None
        self._timeline = timeline
        self._plan = plan
        self._network = network
        self._checker = checker
        self._tally = tally
        self._folder = folder
        self._record = record
        self._wrap = wrap
        self._disks = 0
        self._main: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._main is not None and not self._main.done() and not self.processes[-1].is_dead

    def start(self) -> None:
        """Start a process on what the last one has left."""
        number = len(self.processes)
        process = new_process(self._timeline, f"fleet {number}", lambda text: self._checker.violated(0, text))
        self.processes.append(process)
        self._main = process.start(self._run(number, process))

    def on_exit(self, then: Callable[[], None]) -> None:
        """Call ``then`` when the process that runs has ended by itself."""
        assert self._main is not None
        self._main.add_done_callback(lambda _: then())

    def kill(self) -> None:
        """kill -9."""
        for step in self._network.steps_under_way():
            self._tally.note(Plight.FLEET_KILLED, step)
        self.processes[-1].kill()
        self.fleet = None
        self._checker.killed()
        survive(self._data(), self._data(self._disks + 1))
        self._disks += 1

    def left_tasks(self) -> int:
        """Tasks of the process that ended which have not."""
        return sum(not task.done() for task in asyncio.all_tasks(self.processes[-1]))

    def _data(self, number: int | None = None) -> Path:
        return self._folder / f"outbox-{self._disks if number is None else number}"

    async def _run(self, number: int, process: Process) -> None:
        plan, checker = self._plan, self._checker
        chance = random.Random(f"fleet {plan.seed} {number}")
        disk = Disk(process, plan.disk_s, chance, plan.disk_full, self._tally)
        events = _Events(process, checker, self._record)
        async with AsyncExitStack() as stack:
            try:
                opened = await SqliteOutbox.open(
                    self._data() / OUTBOX_FILE,
                    plan.policies.outbox,
                    self.clock,
                    events,
                    executor=disk,
                    before_commit=disk.before_commit,
                    free=disk.free,
                )
            except StorageError:
                return  # as the program does, with an exit code that says so
            outbox = WatchedOutbox(self._wrap(opened), checker)
            stack.push_async_callback(outbox.aclose)
            engine = Engine(plan, self.clock, self._tally, chance)
            ground = Ground(
                clock=self.clock,
                random=chance,
                events=events,
                transports=NetworkTransports(self._network, process),
                outbox=outbox,
                executor=engine,
                proxies=plan.proxies.addresses,
            )
            deployment = Deployment(GATEWAY_URL, GATEWAY_URL, "0.0.4")
            self.fleet = await stack.enter_async_context(assembled(plan.roster, plan.policies, deployment, ground))
            checker.began(self.fleet, outbox, lambda: engine.defects)
            await self.fleet.run()
        self.fleet = None


class _Events:
    """The sink of one process: what a dead one says is not heard."""

    def __init__(self, process: Process, checker: Checker, record: Callable[[str, Event], None] | None) -> None:
        self._process = process
        self._checker = checker
        self._record = record

    def emit(self, event: Event, /) -> None:
        """See `node.ports.events.EventSink`."""
        if self._process.is_dead:
            return
        if self._record is not None:
            self._record(self._process.name, event)
        self._checker.emit(event)
