from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from node.domain.ids import NodeId
from node.protocol.messages import JobData
from node.sandbox.gateway import Gateway
from node.sandbox.policy import Prompt, SandboxPolicy, WorkloadPolicy
from node.sandbox.workload import Feeder
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.sandbox.building import a_gateway, join, no_crash
from tests.unit.sandbox.test_durability import SlowJournal

PROMPTS = (Prompt("m", "one"), Prompt("n", "two"))
STEADY = WorkloadPolicy(prompts=PROMPTS, rate_per_s=10, arrivals="constant", share_other=0)


@contextlib.asynccontextmanager
async def feeding(
    workload: WorkloadPolicy, policy: SandboxPolicy | None = None, seed: int = 1, journal: SlowJournal | None = None
) -> AsyncIterator[tuple[Gateway, Feeder]]:
    async with a_gateway(policy, journal) as gateway:
        feeder = Feeder(gateway, workload, VirtualClock(), random.Random(seed), no_crash)
        run = asyncio.create_task(feeder.run())
        try:
            yield gateway, feeder
        finally:
            feeder.stop()
            await run


def submitted(gateway: Gateway) -> int:
    return gateway.network().jobs


@in_virtual_time
async def test_a_constant_rate_is_kept() -> None:
    async with feeding(STEADY) as (gateway, feeder):
        await asyncio.sleep(10.05)
        assert submitted(gateway) == 100
        assert feeder.report() == {"running": True, "rate_per_s": 10, "submitted": 100, "dropped": 0, "failed": 0}


@in_virtual_time
async def test_poisson_arrivals_have_the_rate_as_their_mean_and_are_uneven() -> None:
    workload = WorkloadPolicy(prompts=PROMPTS, rate_per_s=10, max_pending=100_000)
    async with feeding(workload) as (gateway, _):
        counts = []
        for _ in range(100):
            before = submitted(gateway)
            await asyncio.sleep(1)
            counts.append(submitted(gateway) - before)
        assert 900 < sum(counts) < 1100
        assert len(set(counts)) > 5


@in_virtual_time
async def test_the_rate_holds_however_slow_the_disk_is() -> None:
    journal = SlowJournal()
    async with feeding(STEADY, journal=journal) as (gateway, _):
        journal.delay_s = 0.5
        await asyncio.sleep(60)
        assert submitted(gateway) > 170
        journal.delay_s = 0


@in_virtual_time
async def test_a_disk_that_fails_is_counted() -> None:
    journal = SlowJournal()
    async with feeding(STEADY, journal=journal) as (gateway, feeder):
        journal.broken = True
        await asyncio.sleep(1.05)
        assert feeder.report()["failed"] == 10
        journal.broken = False
        await asyncio.sleep(1)
        assert submitted(gateway) == 10


@in_virtual_time
async def test_it_pauses_without_catching_up_afterwards() -> None:
    async with feeding(STEADY) as (gateway, feeder):
        await asyncio.sleep(1.05)
        feeder.set(running=False)
        assert not feeder.report()["running"]
        await asyncio.sleep(100)
        assert submitted(gateway) == 10
        feeder.set(running=True)
        await asyncio.sleep(1.05)
        assert submitted(gateway) == 20
        feeder.set(rate_per_s=100)
        await asyncio.sleep(1.005)
        assert submitted(gateway) == 120
        feeder.set(rate_per_s=0)
        await asyncio.sleep(10)
        assert submitted(gateway) == 120


@in_virtual_time
async def test_it_may_wait_to_be_switched_on_and_stop_while_off() -> None:
    off = WorkloadPolicy(prompts=PROMPTS, running=False)
    async with feeding(off) as (gateway, _):
        await asyncio.sleep(10)
        assert submitted(gateway) == 0


@in_virtual_time
async def test_without_prompts_and_models_there_is_nothing_to_feed() -> None:
    async with feeding(WorkloadPolicy()) as (gateway, _):
        await asyncio.sleep(10)
        assert submitted(gateway) == 0


@in_virtual_time
async def test_arrivals_that_find_too_many_jobs_waiting_are_dropped() -> None:
    bounded = WorkloadPolicy(prompts=PROMPTS, rate_per_s=10, arrivals="constant", max_pending=5)
    async with feeding(bounded) as (gateway, feeder):
        await asyncio.sleep(2.05)
        assert gateway.pending == 5
        assert feeder.report()["dropped"] == 15
        node = await join(gateway, "a", "m", "n")
        await gateway.claim(node)
        await asyncio.sleep(0.1)
        assert gateway.pending == 5


@in_virtual_time
async def test_a_full_gateway_is_counted_as_a_failure() -> None:
    async with feeding(STEADY, SandboxPolicy(max_pending=3)) as (gateway, feeder):
        await asyncio.sleep(1.05)
        assert gateway.pending == 3
        assert feeder.report()["failed"] == 7


@in_virtual_time
async def test_it_ends_at_its_limit() -> None:
    limited = WorkloadPolicy(prompts=PROMPTS, rate_per_s=1000, limit=7)
    async with feeding(limited) as (gateway, feeder):
        await asyncio.sleep(10)
        assert submitted(gateway) == 7
        assert not feeder.report()["running"]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_prompts_is_not_from_the_list(share: float) -> None:
    workload = WorkloadPolicy(
        prompts=PROMPTS, other_models=("o",), rate_per_s=100, share_other=share, max_pending=10_000
    )

    @in_virtual_time
    async def run() -> None:
        async with feeding(workload) as (gateway, _):
            await asyncio.sleep(10)
            node = gateway.authenticate(await gateway.register(NodeId("a"), ""))
            await gateway.update_models(node, "a", ("m", "n", "o"))
            texts: list[tuple[str, str]] = []
            while (job := await gateway.claim(node)) is not None:
                data = JobData.model_validate_json(job.body)
                texts.append((job.model, data.messages[0]["content"]))
            others = [(model, text) for model, text in texts if text not in {"one", "two"}]
            assert abs(len(others) / len(texts) - share) < 0.05
            assert {model for model, _ in others} == ({"m", "n", "o"} if share else set())
            listed = Counter(model for model, text in texts if text in {"one", "two"})
            assert set(listed) == ({"m", "n"} if share < 1 else set())
            assert all(text != "two" for model, text in texts if model == "m")

    run()
