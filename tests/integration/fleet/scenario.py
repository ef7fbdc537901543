"""A run with something of everything, for comparing one with another: ``python -m tests.integration.fleet.scenario``."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from node.domain.policies import NodePolicy, Range
from node.sandbox.policy import FaultRule, SandboxPolicy
from tests.support.fleet import Plan, World, world
from tests.support.virtual_time import in_virtual_time

FAULTS = (
    FaultRule("poll", "status", status=503, probability=0.02),
    FaultRule("poll", "status", status=401, probability=0.02),
    FaultRule("poll", "delay", delay_s=40, after=True, probability=0.01),
    FaultRule("check_identity", "hang", probability=0.2),
    FaultRule("check_identity", "status", status=503, probability=0.2),
    FaultRule("register", "reset", after=True, probability=0.2),
    FaultRule("update_models", "cut", probability=0.1),
    FaultRule("update_result", "reset", after=True, probability=0.1),
    FaultRule("update_result", "garble", probability=0.1),
    FaultRule("points", "status", status=302, probability=0.1),
)


def run(seed: int) -> World:
    """The world after some minutes with faults, a gateway that is replaced, a drain and an abort."""
    ended: list[World] = []

    @in_virtual_time
    async def scenario() -> None:
        plan = Plan(
            seed=seed,
            nodes=10,
            node=replace(NodePolicy(), slots=2, recovery=Range(5, 30), points_check_s=60, models_update=Range(50, 90)),
            sandbox=SandboxPolicy(faults=FAULTS, token_lifetime_s=100),
            jobs_per_s=1.0,
        )
        async with world(plan) as running:
            await asyncio.sleep(300)
            await running.host.restart(down_s=15)
            await asyncio.sleep(200)
            running.manager.drain()
            await asyncio.sleep(1)
            running.manager.abort()
            await running.running
        ended.append(running)

    scenario()
    return ended[0]


if __name__ == "__main__":
    sys.stdout.write(run(int(sys.argv[1])).history.digest)
