"""How a run over several shards stands, for those who watch it: the shards are played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.app.loadtest.shards import ShardedRun, Shards
from node.domain.secret import Secret
from node.loadtest.driver.run import Phase
from node.loadtest.figures.figures import Figures
from node.loadtest.shards.news import Newsroom
from node.loadtest.shards.pool import ShardChannel
from node.settings.load import load
from tests.integration.loadtest.sharded import PLAN
from tests.support.waiting import wait_until
from tests.unit.loadtest.shards.test_conductor import Played, finished, ready
from tests.unit.loadtest.shards.toy import standing

LEVELS = (
    {"queued": -3.0, "working": 2.0, "outbox": 1.0, "cpu": 0.6, "lag": 0.2},
    {"queued": 7.0, "working": -1.0, "outbox": 1.0, "cpu": 0.9, "lag": 0.01},
)


class Pool:
    """See `node.loadtest.shards.pool.ShardPool`."""

    def __init__(self, shards: Sequence[Played]) -> None:
        self._shards = shards

    @asynccontextmanager
    async def open(self, tasks: Sequence[bytes]) -> AsyncIterator[Sequence[ShardChannel]]:
        assert len(tasks) == len(self._shards)
        yield self._shards


@pytest.mark.parametrize(
    ("count", "cores", "is_local", "doubted"),
    [(2, 3, True, False), (2, 2, True, True), (64, 2, False, False)],
)
def test_more_processes_than_cores_are_doubted(count: int, cores: int, is_local: bool, doubted: bool) -> None:
    shards = Shards(count, lambda _: Pool([]), is_local=is_local)
    told = "2 processes and the sandbox gateway on 2 cores"
    assert shards.crowd(cores, with_sandbox=True) == (told if doubted else None)
    assert shards.crowd(count, with_sandbox=False) is None


async def test_levels_add_up_but_of_what_each_is_held_to_the_worst_counts(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.format(faults=""))
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    plan = plan_load_test(LoadTestOrder(Path("plan.toml"), None, Secret("developer")), loaded, tmp_path)
    shards = [Played(), Played()]
    run = ShardedRun(plan, Shards(2, lambda _: Pool(shards)), lambda _: None)
    led = asyncio.create_task(run.run(LoadGateway("http://127.0.0.1:1", "http://127.0.0.1:1", None, is_bundled=False)))
    for index, shard in enumerate(shards):
        shard.say(ready(index))
        told = standing(Phase.LOAD, Newsroom(Figures()))
        shard.say(told.model_copy(update={"levels": LEVELS[index]}))
    await wait_until(lambda: run.levels.get("outbox") == 2.0)
    assert dict(run.levels) == {"queued": 4.0, "working": 1.0, "outbox": 2.0, "cpu": 0.9, "lag": 0.2}
    assert run.count().running == 2
    shards[1].say(finished(1))
    # What the other one has submitted is claimed all the same.
    await wait_until(lambda: run.levels.get("outbox") == 1.0)
    assert dict(run.levels) == {"queued": 4.0, "working": 1.0, "outbox": 1.0, "cpu": 0.6, "lag": 0.2}
    shards[0].say(finished(0))
    assert len((await led).record.nodes) == 2
