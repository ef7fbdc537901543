"""``kill -9`` at any moment, over and over, and an audit in the end.

Several workers work for one gateway; each is killed, its outbox copied and read, and started again on it. What is
drawn comes from the seed; where exactly a kill strikes is the machine's doing.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.runtime.signals import Signal
from tests.crash.audit import Breach, Kind
from tests.crash.gateway import GatewayUnderTest
from tests.crash.marks import Place
from tests.crash.processes import Program, Programs
from tests.crash.scene import Scene
from tests.crash.settling import settle
from tests.crash.tally import Tally
from tests.crash.weather import WEATHERS, forecast
from tests.crash.worker import INSTRUMENTED, Gear, Remains, WorkerUnderTest

COUNTS: Final = ("kills", "results finished", "lost", "doubled", "with an unsent result", "inside a commit")
"""What the last line tells first."""

MORE_COUNTS: Final = ("of these within COMMIT itself", "gateway kills", "jobs credited")

_SIGKILL_CODE: Final = -9
_LONGEST_COMMIT_US: Final = 400.0
_START_S: Final = 1.5
_FIRST_JOB_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class KillPlan:
    """How often, and by what. ``entry`` runs the instrumented share of the processes, a planted bug for instance.

    ``life_s`` are the bounds of a process's time from its first job to its kill; ``gateway_life_s`` those of the
    gateway's, None where it lives.
    """

    kills: int
    seed: str
    workers: int = 3
    nodes: int = 3
    jobs_per_s: float = 30.0
    lease_s: float = 3.0
    life_s: tuple[float, float] = (0.0, 2.5)
    early_share: float = 0.15
    """Share of the processes that are killed while they start, job or not."""
    gateway_life_s: tuple[float, float] | None = (6.0, 15.0)
    entry: Sequence[str] = INSTRUMENTED
    plain_share: float = 0.5
    slow_commits: bool = False
    """Whether all instrumented processes commit slowly, and none is ambushed."""
    weather: str = ""
    """The weather all the time; empty: it is drawn, and changes."""
    until_breach: bool = False
    """Whether to stop, unsettled, at the first thing that is wrong."""


def planted(plan: KillPlan, bug: str) -> KillPlan:
    """The plan with a planted bug in every process, where it must show: slow commits and short leases, and results
    that wait, but where new results have to come for as long as it takes.
    """
    return replace(
        plan,
        entry=("-m", "tests.crash.planted", bug),
        plain_share=0.0,
        slow_commits=True,
        lease_s=1.0,
        life_s=(0.5, 2.0),
        early_share=0.0,
        weather="calm" if bug == "early-acknowledgement" else "results denied",
    )


class KillLeg:
    """One gateway, some workers, so many kills, one audit. What goes wrong is in ``tally``."""

    def __init__(self, plan: KillPlan, folder: Path, tally: Tally) -> None:
        self._plan = plan
        self._scene = Scene(folder, plan.workers, plan.nodes)
        self._tally = tally

    async def run(self) -> None:
        """Run it.

        Raises:
            GatewayFailed: the gateway does not start.
        """
        plan = self._plan
        self._scene.build()
        async with Programs() as programs:
            gateway = GatewayUnderTest(self._scene, programs, jobs_per_s=plan.jobs_per_s, lease_s=plan.lease_s)
            await gateway.start()
            workers = [
                WorkerUnderTest(self._scene, number, programs, f"{plan.seed}/{number}")
                for number in range(plan.workers)
            ]
            await self._disturb(gateway, workers)
            gear = Gear() if plan.entry is INSTRUMENTED else Gear(entry=plan.entry)
            if self._tally.is_clean or not plan.until_breach:
                ledger, breaches = await settle(gateway, workers, gear)
                self._found("the end", breaches)
                self._tally.counts["jobs credited"] += ledger.credits
        self._tally.counts["gateway kills"] += gateway.kills
        self._tally.counts["results finished"] += sum(len(worker.book.finished) for worker in workers)

    async def _disturb(self, gateway: GatewayUnderTest, workers: Sequence[WorkerUnderTest]) -> None:
        over = Signal()
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._change_weather(gateway, over), name="weather")
            lanes.create_task(self._kill_gateway(gateway, over), name="gateway kills")
            shares = _shares(self._plan.kills, len(workers))
            working = [
                lanes.create_task(self._kill_worker(worker, gateway, share), name=worker.name)
                for worker, share in zip(workers, shares, strict=True)
            ]
            await asyncio.wait(working)
            over.set()

    async def _kill_worker(self, worker: WorkerUnderTest, gateway: GatewayUnderTest, kills: int) -> None:
        chance = random.Random(f"{self._plan.seed}/{worker.name}")
        for _ in range(kills):
            if self._plan.until_breach and not self._tally.is_clean:
                return
            gear = self._gear(chance)
            starts_only = chance.random() < self._plan.early_share
            life_s = chance.uniform(*((0.0, _START_S) if starts_only else self._plan.life_s))
            program = await worker.start(gateway.url, gear)
            if not starts_only:
                await worker.said("job received", program, _FIRST_JOB_S)
            await program.ended(life_s)
            program.kill()
            await self._examine(worker, program)

    async def _examine(self, worker: WorkerUnderTest, program: Program) -> None:
        code = await program.ended(10)
        self._tally.counts["kills"] += 1
        if code != _SIGKILL_CODE:
            text = f"it ended with {code} before it was killed: {program.said[-500:]}"
            self._found(worker.label, [Breach(Kind.MISREPORTED, text)])
        try:
            remains = worker.collect()
        except sqlite3.DatabaseError as error:
            self._found(worker.label, [Breach(Kind.LOST, f"the outbox is damaged: {error}")])
            return
        self._count(remains)
        self._found(worker.label, worker.book.take(worker.label, remains.history, remains.outbox))

    def _count(self, remains: Remains) -> None:
        counts = self._tally.counts
        counts["with an unsent result"] += bool(remains.outbox.pending)
        counts["inside a commit"] += remains.place is not Place.OUTSIDE
        counts["of these within COMMIT itself"] += remains.place is Place.COMMITTING

    def _gear(self, chance: random.Random) -> Gear:
        if chance.random() < self._plan.plain_share:
            return Gear()
        if self._plan.slow_commits or chance.random() < 0.25:
            return Gear(self._plan.entry, commit_delay_s=chance.uniform(0.01, 0.05))
        before = chance.random() < 0.2
        delay_us = -1 if before else chance.uniform(0, _LONGEST_COMMIT_US)
        return Gear(self._plan.entry, ambush=f"{_ambushed_commit(chance)}:{delay_us:.1f}")

    async def _change_weather(self, gateway: GatewayUnderTest, over: Signal) -> None:
        chance = random.Random(f"{self._plan.seed}/weather")
        lasts_s = 0.0
        while not await over.wait(lasts_s):
            name, lasts_s = forecast(chance)
            await gateway.set_faults(WEATHERS[self._plan.weather or name])

    async def _kill_gateway(self, gateway: GatewayUnderTest, over: Signal) -> None:
        chance = random.Random(f"{self._plan.seed}/gateway")
        while self._plan.gateway_life_s is not None and not await over.wait(chance.uniform(*self._plan.gateway_life_s)):
            self._found("the gateway", await gateway.kill())
            await over.wait(chance.uniform(0, 1))
            await gateway.start()

    def _found(self, place: str, breaches: Sequence[Breach] | Iterator[Breach]) -> None:
        self._tally.found(f"seed {self._plan.seed}, {place}, {self._scene.folder}", breaches)


def _shares(kills: int, workers: int) -> list[int]:
    return [kills // workers + (number < kills % workers) for number in range(workers)]


def _ambushed_commit(chance: random.Random) -> int:
    """Of the first commits, which open the outbox and load it, each has its turn; of the others any."""
    return chance.randint(1, 4) if chance.random() < 0.2 else chance.randint(5, 60)


async def run_kills(plan: KillPlan, folder: Path) -> Tally:
    """Run one leg in this folder, which must be empty."""
    tally = Tally("kills", seeds=[plan.seed])
    began = time.monotonic()
    try:
        await KillLeg(plan, folder, tally).run()
    finally:
        tally.wall_s = time.monotonic() - began
    return tally
