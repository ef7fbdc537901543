"""A gateway on disk: closed or dropped, and begun again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.domain.errors import StorageInUse, StorageUnavailable
from node.domain.events import Crash
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.runtime.system import SystemClock
from node.sandbox.broker import MemoryBroker
from node.sandbox.gateway import Gateway
from node.sandbox.policy import SandboxPolicy
from node.sandbox.refusals import AlreadyAnswered, SecretDenied, UnknownJob
from node.sandbox.sqlite_journal import FILE_NAME, SqliteJournal
from tests.unit.sandbox.building import KEY, CountingIds, join, no_crash, result, submit


class ShiftedClock(SystemClock):
    """Wall time may jump: a restart after a while."""

    def __init__(self, shift_s: float = 0.0) -> None:
        super().__init__()
        self._shift_s = shift_s

    def wall(self) -> float:
        return super().wall() + self._shift_s


class Ids(CountingIds):
    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def new(self) -> str:
        return self._prefix + super().new()


@contextlib.asynccontextmanager
async def on_disk(
    folder: Path, policy: SandboxPolicy | None = None, *, shift_s: float = 0.0, crash: bool = False, name: str = "x"
) -> AsyncIterator[Gateway]:
    """A gateway over a folder; with ``crash`` nothing is written at its end that was not there before."""
    crashes: list[Crash] = []
    journal, recorded = await SqliteJournal.open(folder, Secret(f"secret-of-{name}" * 4))
    gateway = Gateway(
        policy or SandboxPolicy(points_per_minute=0),
        recorded.secret,
        broker=MemoryBroker(),
        journal=journal,
        clock=ShiftedClock(shift_s),
        ids=Ids(name),
        on_crash=crashes.append,
    )
    await gateway.start(recorded)
    try:
        yield gateway
    finally:
        await (journal if crash else gateway).aclose()
    assert not crashes


@pytest.mark.parametrize("crash", [False, True])
async def test_everything_outlives_the_gateway(tmp_path: Path, crash: bool) -> None:
    async with on_disk(tmp_path, crash=crash, name="first") as gateway:
        await gateway.check_secret(NodeId("a"), Secret("s"))
        token = await gateway.register(NodeId("a"), "0.0.4")
        node = gateway.authenticate(token)
        await gateway.update_models(node, "a", ("m", "n"))
        done, leased, queued = await submit(gateway), await submit(gateway), await submit(gateway)
        await gateway.claim(node)
        await gateway.accept(node, result(done, "kept"))
        await gateway.claim(node)

    async with on_disk(tmp_path, crash=crash, name="second") as gateway:
        with pytest.raises(SecretDenied):
            await gateway.check_secret(NodeId("a"), Secret("other"))
        await gateway.check_secret(NodeId("a"), Secret("s"))
        node = gateway.authenticate(token)
        assert (node.models, node.version, node.registered) == (("m", "n"), "0.0.4", True)
        assert (await gateway.points(node, "a")).points == 1
        assert b"kept" in gateway.answer(done.job_id, KEY)[1].result
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(node, result(done))
        totals = await gateway.totals()
        assert (totals.submitted, totals.accepted, totals.leased, totals.pending) == (3, 1, 1, 1)
        other = await join(gateway, "b")
        claimed = await gateway.claim(other)
        assert claimed is not None
        assert (claimed.job_id, claimed.body) == (queued.job_id, queued.body)
        assert await gateway.claim(other) is None
        await gateway.accept(node, result(leased))
        fresh = await submit(gateway)
        assert fresh.seq == 4

    async with on_disk(tmp_path, crash=crash, name="third") as gateway:
        totals = await gateway.totals()
        assert (totals.submitted, totals.accepted, totals.succeeded, totals.claims) == (4, 2, 2, 3)
        assert (totals.leased, totals.pending, totals.points) == (1, 1, 2)


async def test_a_lease_runs_out_while_the_gateway_is_away(tmp_path: Path) -> None:
    policy = SandboxPolicy(lease_s=300)
    async with on_disk(tmp_path, policy) as gateway:
        job = await submit(gateway)
        await gateway.claim(await join(gateway, "a"))
    async with on_disk(tmp_path, policy, shift_s=299) as gateway:
        totals = await gateway.totals()
        assert (totals.leased, totals.pending) == (1, 0)
    async with on_disk(tmp_path, policy, shift_s=301) as gateway:
        claimed = await gateway.claim(await join(gateway, "b"))
        assert claimed is not None
        assert claimed.job_id == job.job_id
        assert [claim.node for claim in claimed.claims] == ["a", "b"]


async def test_leases_given_up_stay_given_up(tmp_path: Path) -> None:
    async with on_disk(tmp_path, crash=True) as gateway:
        await submit(gateway)
        node = await join(gateway, "a")
        await gateway.claim(node)
        await gateway.leave(node, "a")
    async with on_disk(tmp_path) as gateway:
        totals = await gateway.totals()
        assert (totals.leased, totals.pending) == (0, 1)
        assert gateway.network().active_nodes == 0


async def test_forgotten_jobs_stay_in_the_sums(tmp_path: Path) -> None:
    policy = SandboxPolicy(keep_results=1, points_per_minute=0)
    async with on_disk(tmp_path, policy, crash=True) as gateway:
        node = await join(gateway, "a")
        jobs = [await submit(gateway) for _ in range(3)]
        for job in jobs:
            await gateway.claim(node)
            await gateway.accept(node, result(job, error="x" if job is jobs[0] else None))
        with pytest.raises(AlreadyAnswered):
            await gateway.accept(node, result(jobs[0]))
        await gateway.checkpoint()
        before = await gateway.totals()
    async with on_disk(tmp_path, policy) as gateway:
        assert await gateway.totals() == before
        assert (before.submitted, before.failed, before.succeeded, before.duplicates_refused) == (3, 1, 2, 1)
        assert [row["seq"] for row in gateway.job_rows(0, 10)] == [3]
        assert (await submit(gateway)).seq == 4
        with pytest.raises(UnknownJob):
            gateway.answer(jobs[0].job_id, KEY)


async def test_uptime_that_was_told_survives(tmp_path: Path) -> None:
    policy = SandboxPolicy(points_per_minute=60_000)
    async with on_disk(tmp_path, policy, crash=True) as gateway:
        token = await gateway.register(NodeId("a"), "")
        await asyncio.sleep(0.02)
        told = await gateway.points(gateway.authenticate(token), "a")
        assert told.points > 0
    async with on_disk(tmp_path, policy) as gateway:
        assert (await gateway.points(gateway.authenticate(token), "a")).pointsraw >= told.pointsraw


async def test_two_gateways_on_one_folder_are_refused(tmp_path: Path) -> None:
    async with on_disk(tmp_path):
        with pytest.raises(StorageInUse):
            await SqliteJournal.open(tmp_path, Secret("x" * 32))


async def test_a_file_of_something_else_is_refused_and_let_go(tmp_path: Path) -> None:
    async with on_disk(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    with connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', '{\"strange\": 1}')")
    connection.close()
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="strange"):
            await SqliteJournal.open(tmp_path, Secret("x" * 32))


async def test_no_secret_of_a_node_is_on_disk_and_the_file_is_private(tmp_path: Path) -> None:
    async with on_disk(tmp_path) as gateway:
        await gateway.check_secret(NodeId("a"), Secret("hidden-secret"))
    file = tmp_path / FILE_NAME
    assert b"hidden-secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


async def test_nothing_is_promised_while_the_disk_is_held_up(tmp_path: Path) -> None:
    go = threading.Event()
    held = threading.Event()

    def hold() -> None:
        held.set()
        go.wait(10)

    go.set()
    journal, recorded = await SqliteJournal.open(tmp_path, Secret("x" * 32), before_commit=hold)
    gateway = Gateway(
        SandboxPolicy(),
        recorded.secret,
        broker=MemoryBroker(),
        journal=journal,
        clock=SystemClock(),
        ids=CountingIds(),
        on_crash=no_crash,
    )
    await gateway.start(recorded)
    job = await submit(gateway)
    node = await join(gateway, "a")
    await gateway.claim(node)
    go.clear()
    first = asyncio.create_task(gateway.accept(node, result(job)))
    second = asyncio.create_task(gateway.accept(node, result(job)))
    await asyncio.sleep(0.05)
    assert not first.done()
    assert not second.done()
    assert job.answer is None
    go.set()
    await first
    with pytest.raises(AlreadyAnswered):
        await second
    await gateway.aclose()
