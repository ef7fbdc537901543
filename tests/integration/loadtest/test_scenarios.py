"""The shipped scenarios in virtual time, where their minutes take seconds."""

from __future__ import annotations

from pathlib import Path

from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count
from tests.integration.loadtest.world import world
from tests.support.virtual_time import in_virtual_time

SCENARIOS = Path(__file__).parents[3] / "config/scenarios"


def text(name: str) -> str:
    return (SCENARIOS / f"{name}.toml").read_text()


@in_virtual_time
async def test_smoke_passes() -> None:
    async with world(text("smoke")) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED, [str(one) for one in outcome.outcomes]
    assert outcome.notes == ()
    assert outcome.report.jobs.redelivered > 0


@in_virtual_time
async def test_chaos_passes_on_a_small_scale() -> None:
    smaller = text("chaos").replace("to = 200", "to = 40").replace('rate = "40/s"', 'rate = "8/s"')
    async with world(smaller.replace("> 2000", "> 500")) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED, [str(one) for one in outcome.outcomes]
    counts = outcome.figures.counts
    assert min(counts[Count.CRASHED], counts[Count.ALREADY], counts[Count.BURIED], counts[Count.POLL_FAILED]) > 0
    assert it.crashes == []


@in_virtual_time
async def test_storm_passes_on_a_small_scale() -> None:
    smaller = text("storm").replace("to = 1000", "to = 50").replace("to = 1500", "to = 75")
    async with world(smaller.replace('"50/s"', '"5/s"').replace("count = 500", "count = 50")) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED, [str(one) for one in outcome.outcomes]
    assert it.crashes == []
