"""Stops by real signals in every phase of a life: drain, abort, exit; and an audit in the end."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.cli.exit_codes import ExitCode
from tests.crash.audit import Breach, Kind
from tests.crash.evidence import Key, OutboxCopy
from tests.crash.gateway import CONTROL_FILE, GatewayUnderTest
from tests.crash.phases import Outage, Phase, shuffled_phases
from tests.crash.processes import Program, Programs
from tests.crash.scene import Scene
from tests.crash.settling import settle
from tests.crash.tally import Tally
from tests.crash.worker import Gear, Remains, WorkerUnderTest

COUNTS: Final = ("drains", "aborts", "late", "lost", "unanswered")
"""What the last line tells first."""

MORE_COUNTS: Final = (
    "exits",
    "left with unsent results",
    "results finished",
    "jobs credited",
    "phases not reached",
    "ended before they listened",
    "ended by a later signal",
)

_SLACK_S: Final = 1.0
"""How much later than its deadline a process may end."""

_BEGIN_S: Final = 12.0
_GIVEN_UP_S: Final = 12.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_ENDED_BY_SIGNAL: Final = (*(-number for number in _SIGNALS), ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """So many stops on one gateway with one worker, one after the other; ``phases`` names those wanted, none for all."""

    drains: int
    seed: str
    nodes: int = 3
    jobs_per_s: float = 15.0
    lease_s: float = 3.0
    drain_s: tuple[float, float] = (2.0, 5.0)
    abort_s: float = 2.0
    phases: Sequence[str] = ()
    lent_share: float = 0.5
    """Share of the stops in which the worker can ask for the gateway's ledger, as it can beside a sandbox of its own."""
    further_share: tuple[float, float] = (0.4, 0.15)
    """Share of the stops with a second signal, and of those with a third."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop: its signals, each so many seconds after the one before, and what time the policy gives."""

    signals: Sequence[tuple[float, signal.Signals]]
    drain_s: float
    abort_s: float

    def limit_s(self, sent_at: Sequence[float]) -> float:
        """When the process must have ended, given when the signals were sent: the earliest of their deadlines."""
        allowed = (self.drain_s, self.abort_s, 0.0)
        return min(at + least for at, least in zip(sent_at, allowed, strict=False)) + _SLACK_S


class DrainLeg:
    """One gateway, one worker, so many stops, one audit. What goes wrong is in ``tally``."""

    def __init__(self, plan: DrainPlan, folder: Path, tally: Tally) -> None:
        self._plan = plan
        self._scene = Scene(folder, 1, plan.nodes)
        self._tally = tally
        self._chance = random.Random(plan.seed)

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
            worker = WorkerUnderTest(self._scene, 0, programs, plan.seed)
            phases = shuffled_phases(self._chance, plan.phases)
            for _ in range(plan.drains):
                await self._stop_once(next(phases), worker, gateway)
            ledger, breaches = await settle(gateway, [worker])
            self._tally.found(self._place("the end"), breaches)
        self._tally.counts["results finished"] += len(worker.book.finished)
        self._tally.counts["jobs credited"] += ledger.credits

    async def _stop_once(self, phase: Phase, worker: WorkerUnderTest, gateway: GatewayUnderTest) -> None:
        stop = self._drawn_stop()
        settings = {
            "stop.drain_s": stop.drain_s,
            "stop.abort_s": stop.abort_s,
            "stop.poll_grace_s": 1.5,
            "stored.delay_max_s": self._chance.choice((0.25, 0.25, 3)),
            **phase.settings,
        }
        await gateway.set_faults(phase.rules)
        if self._chance.random() < self._plan.lent_share:
            gateway.lend_control(worker.state)
        began = time.time()
        program = await worker.start(gateway.url, Gear(settings=settings))
        await self._reach(phase, worker, program)
        breaches = await self._strike(phase.outage, gateway)
        await asyncio.sleep(self._chance.uniform(*phase.wait_s))
        sent_at, ended_at = await self._signal(stop, program, phase, gateway)
        breaches += self._judge_time(stop, sent_at, ended_at, worker)
        if gateway.is_up:
            gateway.thaw()
        else:
            await gateway.start()
        breaches += await self._examine(phase, worker, program, gateway, len(sent_at), began)
        (worker.state / CONTROL_FILE).unlink(missing_ok=True)
        self._tally.found(self._place(f"{worker.label} ({phase.name})"), breaches)

    def _drawn_stop(self) -> Stop:
        chance = self._chance
        drain_s = round(chance.uniform(*self._plan.drain_s), 1)
        signals = [(0.0, chance.choice(_SIGNALS))]
        more = chance.random()
        second, third = self._plan.further_share
        if more < second:
            signals.append((chance.random() ** 2 * drain_s * 0.8, chance.choice(_SIGNALS)))
        if more < third:
            signals.append((chance.uniform(0, 0.3), chance.choice(_SIGNALS)))
        return Stop(signals, drain_s, self._plan.abort_s)

    async def _reach(self, phase: Phase, worker: WorkerUnderTest, program: Program) -> None:
        """Wait until the phase has begun; one that never does is passed over, and the stop comes all the same."""
        if not phase.begins_with:
            return
        if not await worker.said(phase.begins_with, program, _BEGIN_S):
            self._tally.counts["phases not reached"] += 1

    async def _strike(self, outage: Outage, gateway: GatewayUnderTest) -> list[Breach]:
        match outage:
            case Outage.DOWN | Outage.RETURNS:
                return await gateway.kill()
            case Outage.FROZEN:
                gateway.freeze()
            case Outage.NONE:
                pass
        return []

    async def _signal(
        self, stop: Stop, program: Program, phase: Phase, gateway: GatewayUnderTest
    ) -> tuple[list[float], float]:
        """Send the signals until the process has ended: when each was sent, and when it ended, in seconds."""
        now = asyncio.get_running_loop().time
        sent_at: list[float] = []
        back = asyncio.create_task(gateway.start(), name="gateway again") if phase.outage is Outage.RETURNS else None
        for after_s, number in stop.signals:
            if await program.ended(after_s) is not None:
                break
            program.signal(number)
            sent_at.append(now())
        left_s = stop.limit_s(sent_at) - now() + _GIVEN_UP_S if sent_at else 0
        code = await program.ended(left_s)
        ended_at = now()
        if code is None:
            program.kill()
            await program.ended(10)
        if back is not None:
            await back
        return sent_at, ended_at

    def _judge_time(
        self, stop: Stop, sent_at: Sequence[float], ended_at: float, worker: WorkerUnderTest
    ) -> list[Breach]:
        counts = self._tally.counts
        counts["drains"] += 1
        counts["aborts"] += len(sent_at) > 1
        counts["exits"] += len(sent_at) > 2
        if not sent_at:
            return [Breach(Kind.MISREPORTED, f"{worker.label} ended before it was told to")]
        over_s = ended_at - stop.limit_s(sent_at)
        if over_s <= 0:
            return []
        signals = ", ".join(
            f"{number.name} at {at - sent_at[0]:.2f} s" for at, (_, number) in zip(sent_at, stop.signals, strict=False)
        )
        text = f"{signals}: ended after {ended_at - sent_at[0]:.2f} s, {over_s:.2f} s too late (drain {stop.drain_s} s)"
        return [Breach(Kind.LATE, text)]

    async def _examine(
        self,
        phase: Phase,
        worker: WorkerUnderTest,
        program: Program,
        gateway: GatewayUnderTest,
        signals: int,
        began: float,
    ) -> list[Breach]:
        try:
            remains = worker.collect()
        except sqlite3.DatabaseError as error:
            return [Breach(Kind.LOST, f"the outbox is damaged: {error}")]
        self._tally.counts["left with unsent results"] += bool(remains.outbox.pending)
        breaches = list(worker.book.take(worker.label, remains.history, remains.outbox))
        if signals < 3:
            breaches += worker.book.unanswered(worker.label, remains.history)
        if signals == 1 and phase.polls_are_prompt:
            breaches += await self._unanswered_claims(worker, remains.outbox, gateway, began)
        breaches += self._judge_code(program, signals, remains)
        return breaches

    def _judge_code(self, program: Program, signals: int, remains: Remains) -> list[Breach]:
        """Whether the exit code tells how things stand."""
        code = program.returncode
        right: set[int] = {ExitCode.UNSENT if remains.outbox.pending else ExitCode.OK}
        if code in right:
            return []
        if code in _ENDED_BY_SIGNAL:
            if not remains.has_lived:
                # Not so far yet as to listen to signals, it ends by them as any program does.
                self._tally.counts["ended before they listened"] += 1
                return []
            if signals > 1:
                # A third signal; or a second one that came when all was done and nobody listened any more.
                self._tally.counts["ended by a later signal"] += 1
                return []
        text = f"exit code {code}, where {sorted(map(int, right))} would tell how things stand: {program.said[-800:]}"
        return [Breach(Kind.MISREPORTED, text)]

    async def _unanswered_claims(
        self, worker: WorkerUnderTest, left: OutboxCopy, gateway: GatewayUnderTest, began: float
    ) -> list[Breach]:
        """What the gateway handed out to the process that has ended, by the gateway's word, and has no answer."""
        handed_out = {
            Key(claim["node"], row["job_id"])
            for row in await gateway.rows()
            for claim in row["claims"]
            if claim["at"] >= began and row["accepted"] is None
        }
        return [
            Breach(Kind.UNANSWERED, f"{key.node}/{key.job}: handed out to {worker.label} and never answered")
            for key in sorted(handed_out)
            if not left.holds(key)
        ]

    def _place(self, what: str) -> str:
        return f"seed {self._plan.seed}, {what}, {self._scene.folder}"


async def run_drains(plan: DrainPlan, folder: Path) -> Tally:
    """Run one leg in this folder, which must be empty."""
    tally = Tally("drains", seeds=[plan.seed])
    began = time.monotonic()
    try:
        await DrainLeg(plan, folder, tally).run()
    finally:
        tally.wall_s = time.monotonic() - began
    return tally
