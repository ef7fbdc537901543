"""A fleet holds no more after three hours than after one: whatever can churn does, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from node.domain.policies import AuthPolicy, NodePolicy, OutboxPolicy, Range
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from node.observability.log_subscriber import LogSubscriber
from node.observability.logging import LogPolicy, Logs
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.observability.redaction import Redactor
from node.sandbox.policy import FaultKind, FaultRule, SandboxPolicy
from tests.soak import census, planted
from tests.support.fleet import Plan, World, world
from tests.support.virtual_time import in_virtual_time

STEPS = ("check_secret", "register", "update_models", "poll", "update_result", "points")
KINDS: tuple[tuple[FaultKind, int], ...] = (
    *(("status", 503), ("status", 401)),
    *(("garble", 500), ("delay", 500), ("reset", 500)),
)
FAULTS = tuple(
    FaultRule(step, kind, probability=0.04, status=status, delay_s=3.0) for step in STEPS for kind, status in KINDS
)
SPEED = SyntheticPolicy(tokens_per_s=400)
PLAN = Plan(
    nodes=3,
    accounts=2,
    jobs_per_s=0.1,
    latency_s=Range(0.02, 0.02),
    node=NodePolicy(poll_cycle_s=20.0, slots=2, recovery=Range(5, 20)),
    auth=AuthPolicy(open_s=5.0),
    outbox=OutboxPolicy(remember_s=300, expire_s=600, sweep_s=30),
    sandbox=SandboxPolicy(token_lifetime_s=200, lease_s=120, keep_results_s=300, faults=FAULTS, points_per_minute=1.0),
    speed=SPEED,
)
HOUR_S = 3600.0
SLACK = 40
"""What a count may rise by without being a leak: what is under way at one moment and not at the other."""


class Held(NamedTuple):
    """What there is at a quiet moment."""

    census: census.Census
    blocks: int
    """Of memory, as Python's allocator counts them: exact, and free of charge."""
    tasks: int
    timers: int


class Listeners:
    """Logs, monitor, metrics and masks, as a run has them."""

    def __init__(self, running: World, folder: Path) -> None:
        self._world = running
        self._redactor = Redactor(recent=50)
        clock = running.clock
        policy = LogPolicy(folder, level="debug", max_bytes=20_000, backups=1)
        self._logs = Logs.open(policy, clock, self._redactor, threaded=False)
        bus = EventBus()
        nodes = running.manager.nodes
        for subscriber in (
            NodeMonitor(clock, nodes),
            MetricsSubscriber(Metrics(), len(nodes)),
            LogSubscriber(self._logs, clock),
        ):
            bus.attach(subscriber)
        running.history.emit = bus.emit  # type: ignore[method-assign]

    def settle(self) -> None:
        """Forget what only tests remember."""
        running = self._world
        for secret in running.audit.secrets:
            self._redactor.remember(secret)
        for kept in (running.history.events, running.history.times, running.audit.secrets, running.audit.received):
            kept.clear()
        running.host.history.events.clear()
        running.host.history.times.clear()
        running.audit.settled.clear()
        del running.host.sandboxes[:-1]

    def close(self) -> None:
        self._logs.close()


async def live(running: World, listeners: Listeners, hours: float) -> None:
    """Let time pass, with the gateway away every twenty minutes."""
    for _ in range(round(hours * 3)):
        await asyncio.sleep(HOUR_S / 3 - 40)
        await running.host.restart(down_s=40)
        listeners.settle()


async def held(running: World, listeners: Listeners) -> Held:
    await asyncio.sleep(120)
    listeners.settle()
    counted = census.take(("node.", "tests.soak.planted"))
    loop = asyncio.get_running_loop()
    timers = sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]
    return Held(counted, sys.getallocatedblocks(), len(asyncio.all_tasks()), timers)


async def grown(
    folder: Path, hours: float, executor: SyntheticExecutor | None = None, nodes: int = PLAN.nodes
) -> dict[str, object]:
    """What holds more after three times these hours than after them."""
    async with world(replace(PLAN, nodes=nodes), executor) as running:
        listeners = Listeners(running, folder)
        await live(running, listeners, hours)
        first = await held(running, listeners)
        await live(running, listeners, 2 * hours)
        last = await held(running, listeners)
        found: dict[str, object] = dict(census.growth(first.census.objects, last.census.objects, SLACK))
        found |= census.growth(first.census.entries, last.census.entries, SLACK)
        for name, before, after, slack in (
            ("objects", first.census.all_objects, last.census.all_objects, 600),
            ("tasks", first.tasks, last.tasks, 6),
            ("timers", first.timers, last.timers, 12),
            ("memory blocks", first.blocks, last.blocks, 3000),
        ):
            if after > before + slack:
                found[name] = (before, after)
        await running.drain()
        listeners.close()
    return found


def test_a_fleet_holds_no_more_after_hours(tmp_path: Path) -> None:
    @in_virtual_time
    async def test() -> None:
        gc.collect()
        assert await grown(tmp_path, hours=1) == {}

    test()


@pytest.mark.parametrize("leak", planted.LEAKS.values(), ids=planted.LEAKS)
def test_a_planted_leak_is_seen(tmp_path: Path, leak: Callable[..., SyntheticExecutor]) -> None:
    @in_virtual_time
    async def test() -> None:
        assert await grown(tmp_path, 1 / 3, leak(SPEED, random.Random(1)), nodes=1)

    test()
