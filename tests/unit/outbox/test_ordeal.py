"""Everything at once, in virtual time, from a seed: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from node.domain.ids import JobKey, NodeId
from node.domain.policies import BackOff, OutboxPolicy
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Keeping, Outbox
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.outbox.results import Answer, ScriptedSource, finished
from tests.unit.runtime.inline import InlineExecutor

POLICY = OutboxPolicy(back_off=BackOff(0.2, 2.0), grace_s=1.0, remember_s=1e6)
NODES = [NodeId(f"n{number}") for number in range(4)]
TROUBLE: list[Answer] = [
    Ruling.RETRY,
    Ruling.FAULT,
    Ruling.SESSION_LOST,
    KeyError("a defect"),
    Verdict(Ruling.RETRY, "HTTP 503", 3),
    0.5,
    7.0,
]


class Gateway(ScriptedSource):
    """Credits a result once, and often so when its answer is lost or late."""

    def __init__(self, ledger: Counter[JobKey], random: Random, trouble: int = 400) -> None:
        super().__init__([random.choice(TROUBLE) for _ in range(trouble)])
        self.ledger = ledger
        self.random = random

    async def settle(self, finished: FinishedJob) -> Verdict:
        if finished.key not in self.ledger and self.random.random() < 0.5:
            self.ledger[finished.key] += 1
        verdict = await super().settle(finished)
        if verdict.ruling is not Ruling.OK:
            return verdict
        if finished.key in self.ledger:
            return Verdict(Ruling.ALREADY)
        self.ledger[finished.key] += 1
        return verdict


class Ordeal:
    """Nodes come and go, sources fail, the sender is stopped or cancelled in the middle and started anew."""

    def __init__(self, path: Path, seed: int, kind: str) -> None:
        self.random = Random(seed)
        self.path = path / "outbox.sqlite"
        self.kind = kind
        self.ledger: Counter[JobKey] = Counter()
        self.wanted = [finished(f"{number}", node=self.random.choice(NODES)) for number in range(80)]
        self.to_put = iter(self.wanted)
        self.sources = {node: Gateway(self.ledger, self.random) for node in NODES}
        self.outbox: Outbox = MemoryOutbox(POLICY, VirtualClock())

    async def open(self) -> None:
        if self.kind == "sqlite":
            sink, executor = RecordingSink(), InlineExecutor()
            self.outbox = await SqliteOutbox.open(self.path, POLICY, VirtualClock(), sink, executor=executor)

    async def turbulence(self) -> None:
        sender = Sender(self.outbox, VirtualClock(), self.random, RecordingSink(), POLICY)
        stop = Signal()
        run = asyncio.create_task(sender.run(stop))
        for _ in range(20):
            if (result := next(self.to_put, None)) is not None:
                await sender.put(result)
            self.come_or_go(sender, self.random.choice(NODES))
            await asyncio.sleep(self.random.random())
        if self.random.random() < 0.5:
            run.cancel()
        stop.set()
        await asyncio.wait([run])

    def come_or_go(self, sender: Sender, node: NodeId) -> None:
        match self.random.randrange(6):
            case 0 | 1 | 2:
                sender.attach(node, self.sources[node])
            case 3:
                sender.detach(node)

    async def calm(self) -> None:
        sender = Sender(self.outbox, VirtualClock(), self.random, RecordingSink(), POLICY)
        stop = Signal()
        run = asyncio.create_task(sender.run(stop))
        for node in NODES:
            sender.attach(node, Gateway(self.ledger, self.random, trouble=0))
        assert all([await sender.flushed(node, 600) for node in NODES])
        stop.set()
        await run

    async def run(self) -> None:
        for _ in range(4):
            await self.open()
            await self.turbulence()
            await self.outbox.aclose()
        await self.open()
        await self.calm()
        assert self.outbox.count() == 0
        assert self.ledger == {result.key: 1 for result in self.wanted}
        assert all(self.outbox.keeping(result.key) is Keeping.ACCEPTED for result in self.wanted)
        await self.outbox.aclose()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_no_result_is_lost_or_taken_twice_whatever_happens(tmp_path: Path, seed: int, kind: str) -> None:
    in_virtual_time(Ordeal(tmp_path, seed, kind).run)()
