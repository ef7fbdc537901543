"""A generator that says nothing that is not so."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from node.domain.errors import NodeError
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Measure
from tests.integration.loadtest.world import plan_text, world
from tests.support.virtual_time import VirtualLoop, in_virtual_time


@in_virtual_time
async def test_a_gateway_that_stalls_for_five_seconds_shows_in_the_99th_percentile() -> None:
    """Coordinated omission: what would have been asked meanwhile waited, too."""
    async with world(plan_text()) as it:
        loop = asyncio.get_running_loop()
        loop.call_later(4.5, it.door.shut)
        loop.call_later(9.5, it.door.open)
        outcome = await it.outcome()
    submit = outcome.histograms[Measure.SUBMIT]
    assert submit.count == 100
    assert submit.percentiles_s(99)[0] == pytest.approx(5.0, abs=0.2)
    # A tenth of a second apart they were due, and so long did each wait.
    assert submit.share_above(1.0) == pytest.approx(0.4, abs=0.02)
    assert outcome.histograms[Measure.POLL].percentiles_s(99)[0] > 4
    assert outcome.figures.counts[Count.OFFERED] == 100
    assert outcome.verdict is Verdict.PASSED


@in_virtual_time
async def test_too_many_in_flight_is_the_generators_fault() -> None:
    async with world(plan_text(), policy=DriverPolicy(max_in_flight=5)) as it:
        loop = asyncio.get_running_loop()
        loop.call_later(4.5, it.door.shut)
        loop.call_later(9.5, it.door.open)
        outcome = await it.outcome()
    assert outcome.figures.counts[Count.OFFERED] == 100
    assert outcome.report.jobs.submitted == pytest.approx(55, abs=3)
    assert outcome.verdict is Verdict.VOID
    assert "of the submissions that were due were tried" in outcome.health.reasons[0]


@in_virtual_time
async def test_a_starved_event_loop_makes_the_run_void() -> None:
    async with world(plan_text()) as it:
        loop = cast("VirtualLoop", asyncio.get_running_loop())

        async def starve() -> None:
            while True:
                await asyncio.sleep(0.1)
                loop.advance(0.15)

        starving = asyncio.create_task(starve())
        outcome = await it.outcome()
        starving.cancel()
        await asyncio.wait([starving])
    assert outcome.verdict is Verdict.VOID
    assert any("event loop was late" in reason for reason in outcome.health.reasons)


@in_virtual_time
async def test_a_defect_of_this_program_makes_the_run_void() -> None:
    async with world(plan_text()) as it:

        def broken(*_: object) -> None:
            raise ArithmeticError("a defect")

        asyncio.get_running_loop().call_later(5, setattr, it.run.submitter, "_submit", broken)
        record = await it.run.run()
        outcome = await it.judge(record)
    assert outcome.defects
    assert outcome.verdict is Verdict.VOID


@in_virtual_time
async def test_submissions_that_fail_are_counted_by_what_was_said() -> None:
    text = plan_text().replace("[sandbox]", "[sandbox]\nmax_pending = 1")
    text = text.replace("to = 10", "to = 1")
    async with world(text.replace('settle = "20s"', 'settle = "60s"')) as it:
        outcome = await it.outcome()
    failed = outcome.figures.counts[Count.SUBMIT_FAILED]
    assert failed > 20
    assert outcome.report.jobs.submitted == 100 - failed
    assert dict(outcome.figures.errors.most_common())["submit: HTTP 429"] == failed
    assert outcome.report.broken == ()


@in_virtual_time
async def test_a_sandbox_that_shows_no_ledger_is_said_to() -> None:
    async with world(plan_text()) as it:
        record = await it.run.run()
        it.sandbox.faults.replace(())
        it.door.shut()
        outcome = await it.judge(record)
        it.door.open()
    assert outcome.notes[0].startswith("the sandbox did not show its ledger")
    assert not isinstance(outcome, NodeError)


@in_virtual_time
async def test_a_defect_of_what_measures_ends_the_run_and_makes_it_void() -> None:
    async with world(plan_text(duration="600s")) as it:

        def broken() -> None:
            raise ArithmeticError("a defect")

        asyncio.get_running_loop().call_later(5, setattr, it.run, "on_tick", broken)
        began = asyncio.get_running_loop().time()
        outcome = await it.outcome()
        assert asyncio.get_running_loop().time() - began < 20
    assert outcome.defects
    assert outcome.verdict is Verdict.VOID
