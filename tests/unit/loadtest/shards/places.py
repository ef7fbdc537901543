"""The ways to run shards, each with the same toys: what comes back of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.domain.errors import ShardsFailed
from node.loadtest.shards.conductor import Conductor, LeadPolicy
from node.loadtest.shards.folder import Facts, ShardFolder
from node.loadtest.shards.folder_link import FolderLink, FolderPolicy
from node.loadtest.shards.merging import Gathered
from node.loadtest.shards.pool import ShardPool
from node.loadtest.shards.processes import ProcessPool
from node.loadtest.shards.ray_pool import RayPool
from node.runtime.system import SystemClock
from tests.unit.loadtest.shards import toy
from tests.unit.loadtest.shards.ray_cluster import two_nodes

POLICY = LeadPolicy(ready_s=40.0, lead_s=0.5, silent_s=20.0, abort_s=2.0)
TOY = "tests.unit.loadtest.shards.toy"


@dataclass
class CameBack:
    """What a test looks at, the same for all places."""

    records: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """Times of begin, settling and end, by shard."""
    lost: dict[int, tuple[list[str], str]] = field(default_factory=dict)
    """Nodes, and why."""
    failure: str = ""

    @classmethod
    def of(cls, gathered: Gathered) -> CameBack:
        times = {index: record.times for index, record in gathered.records.items()}
        return cls(
            {index: (one.begun_at, one.load_ended_at, one.settled_at) for index, one in times.items()},
            {one.index: (list(one.nodes), one.why) for one in gathered.lost},
        )


def tasks(*told: dict[str, Any]) -> list[bytes]:
    return [json.dumps({"index": index, **one}).encode() for index, one in enumerate(told)]


async def in_pool(pool: ShardPool, *told: dict[str, Any], order: Callable[[Conductor], object] = id) -> CameBack:
    conductor = Conductor(SystemClock(), POLICY, lambda _: None)
    ordering = asyncio.get_running_loop().call_later(1.0, order, conductor)
    try:
        async with pool.open(tasks(*told)) as channels:
            return CameBack.of(await conductor.lead(channels))
    except ShardsFailed as error:
        return CameBack(failure=str(error))
    finally:
        ordering.cancel()


async def in_processes(_: Path, *told: dict[str, Any]) -> CameBack:
    return await in_pool(ProcessPool(f"{TOY}_child", print), *told)


async def in_ray(address: str, *told: dict[str, Any]) -> CameBack:
    return await in_pool(RayPool(address, f"{TOY}:program", "asyncio:new_event_loop"), *told)


def facts(count: int, **changes: Any) -> Facts:
    given: dict[str, Any] = {
        "version": "1",
        "count": count,
        "plan": {"name": "toy"},
        "gateway": "http://gateway.test",
        "exclusive": False,
        "are_nodes_new": True,
    }
    return Facts(**(given | changes))


class Dead(BaseException):
    """Stands for the end of a process, where shards are tasks."""


async def in_folder(path: Path, *told: dict[str, Any]) -> CameBack:
    folder, failures = ShardFolder(path / "shared"), []
    policy = FolderPolicy(wait_s=10.0, lead_s=0.5, look_s=0.05, silent_s=1.5)

    async def shard(index: int, task: bytes) -> None:
        folder.claim(index, len(told))
        with ThreadPoolExecutor(1) as io:
            link = FolderLink(folder, index, facts(len(told)), policy, SystemClock(), io)
            writing = asyncio.create_task(link.write_loop())
            with contextlib.suppress(Dead):
                await toy.program(task, link)
            link.close()
            await writing
            failures.append(link.failure)

    def die() -> None:
        raise Dead

    patched, toy._die = toy._die, die
    try:
        await asyncio.gather(*(shard(index, task) for index, task in enumerate(tasks(*told))))
    finally:
        toy._die = patched
    if all(failures):
        return CameBack(failure="; ".join(failures))
    gathered, _ = folder.gathered()
    return CameBack.of(gathered)


PLACES: dict[str, Callable[..., Awaitable[CameBack]]] = {"processes": in_processes, "folder": in_folder}

CASES: dict[str, list[dict[str, Any]]] = {
    "all come back": [{}, {}, {}],
    "one is busy for longer": [{}, {"busy_s": 1.0}],
    "one dies": [{"busy_s": 0.5}, {"dies": True}],
    "one cannot begin": [{}, {"fails": "no gateway"}],
}


async def all_in_ray(address: str) -> dict[str, CameBack]:
    return {name: await in_ray(address, *told) for name, told in CASES.items()}


if __name__ == "__main__":
    with two_nodes(2) as cluster:
        found = asyncio.run(all_in_ray(cluster.address))
    sys.stdout.write(json.dumps({name: vars(one) for name, one in found.items()}) + "\n")
