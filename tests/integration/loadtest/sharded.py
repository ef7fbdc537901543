"""A whole load test over several shards against a sandbox of its own, as the program runs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.app.loadtest.load_test import LoadTest, told
from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.app.loadtest.shards import Shards
from node.app.telemetry import redactor_for
from node.domain.secret import Secret
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.live.watched import Standing, WatchedRun
from node.loadtest.shards.pool import ShardPool
from node.loadtest.shards.processes import ProcessPool
from node.manager.shutdown import ShutdownSignals
from node.settings.load import load

PLAN = """
name = "sharded"
duration = "5s"
settle = "25s"
warm_up = "0s"
seed = 5
thresholds = ["jobs.lost == 0", "jobs.stuck == 0", "jobs.submitted > 50"]
[nodes]
poll_cycle = "250ms"
[[nodes.stages]]
kind = "storm"
to = 10
[jobs]
[[jobs.arrivals]]
kind = "constant"
rate = 20
at = "1s"
[engine]
output_tokens = 10
tokens_per_s = 100
{faults}
[sandbox]
lease = "3s"
prefer_other = "500ms"
active = "5s"
"""


class Watcher:
    """See `node.app.loadtest.load_test.LoadDisplay`: keeps all that is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.standings: list[Standing] = []
        self.run: WatchedRun | None = None
        self.on_tick: Callable[[Standing], object] = lambda _: None

    def say(self, text: str) -> None:
        self.said.append(text)

    async def begin(self, run: WatchedRun) -> None:
        self.run = run
        run.on_tick(self._tick)

    def leave(self) -> None:
        pass

    def _tick(self) -> None:
        assert self.run is not None
        self.standings.append(self.run.standing)
        self.on_tick(self.run.standing)


async def sharded_run(
    folder: Path, count: int, pool: Callable[..., ShardPool], watcher: Watcher, faults: str = "", **flags: Any
) -> LoadOutcome | None:
    file = folder / "plan.toml"
    file.write_text(PLAN.format(faults=faults))
    loaded = load(config_file=None, profile=None, flags=flags, environ={}, cwd=folder)
    plan = plan_load_test(LoadTestOrder(file, None, Secret("developer")), loaded, folder)
    redactor = redactor_for(plan.secrets())
    orders = told(watcher)
    with ShutdownSignals(orders.stop, orders.abort, 130):
        return await LoadTest(plan, watcher, redactor, orders, DriverPolicy(), shards=Shards(count, pool)).run()


def processes(say: Callable[[str], object]) -> ShardPool:
    return ProcessPool("node.app.loadtest.shards_child", say)


def children() -> list[int]:
    """The shards of this process that live now."""
    pids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in pids if b"shards_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def soon(delay_s: float, act: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(delay_s, act)
