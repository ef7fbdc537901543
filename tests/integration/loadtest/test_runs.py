"""Whole load tests in virtual time: what they measure, and what they make of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from node.domain.events import JobClaimed, LifeChanged, ResultAccepted, StepEnded
from node.domain.states import Life
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Figures, Measure
from tests.integration.loadtest.world import fault, plan_text, world
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_run_submits_what_its_plan_says_and_passes() -> None:
    async with world(plan_text()) as it:
        outcome = await it.outcome()
        assert outcome.verdict is Verdict.PASSED, [str(one) for one in outcome.outcomes]
        assert it.crashes == []
    jobs = outcome.report.jobs
    assert (jobs.submitted, jobs.claimed, jobs.accepted, jobs.answered) == (100, 100, 100, 100)
    assert outcome.figures.counts[Count.OFFERED] == 100
    assert outcome.values["offered"] == pytest.approx(100 / outcome.values["duration"])
    # Half a second is what the engine takes.
    assert outcome.histograms[Measure.WORK].percentiles_s(50)[0] == pytest.approx(0.5, abs=0.01)
    assert outcome.report.broken == ()
    assert it.run.phase is Phase.OVER


@in_virtual_time
async def test_nodes_come_and_go_as_the_plan_orders() -> None:
    stages = '[[nodes.stages]]\nkind="ramp"\nto=10\nover="5s"\n[[nodes.stages]]\nkind="ramp"\nto=2\nover="5s"'
    async with world(plan_text(nodes=stages, arrivals="", duration="14s", thresholds="[]")) as it:
        running = asyncio.create_task(it.run.run())
        seen = []
        for _ in range(14):
            await asyncio.sleep(1)
            seen.append(len(it.run.fleet))
        record = await running
    assert seen[4] == pytest.approx(9, abs=1)
    assert max(seen) >= 9
    assert seen[-1] == 2
    left = [event for event in it.of(StepEnded) if event.step == "leave" and not event.error]
    assert len(left) == 10
    assert record.is_settled
    assert not record.is_cut_short


@pytest.mark.parametrize("hold", ["2s", "100ms"], ids=["after a while", "while they still leave"])
def test_nodes_that_were_sent_away_come_back_under_their_names(hold: str) -> None:
    in_virtual_time(sent_away_and_back)(hold)


async def sent_away_and_back(hold: str) -> None:
    stages = "\n".join(
        f'[[nodes.stages]]\nkind="{kind}"\n{rest}'
        for kind, rest in (("storm", "to=2"), ("spike", 'to=6\nfor="3s"'), ("hold", f'for="{hold}"'), ("storm", "to=6"))
    )
    async with world(plan_text(nodes=stages)) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED, outcome.to_document()["thresholds"]
    registered = [event for event in it.of(StepEnded) if event.step == "register"]
    assert len(registered) == 10
    assert len({event.node for event in registered}) == 6


@in_virtual_time
async def test_a_warm_up_is_cut_off() -> None:
    async with world(plan_text().replace('warm_up = "0s"', 'warm_up = "5s"')) as it:
        outcome = await it.outcome()
    assert outcome.values["duration"] == pytest.approx(7, abs=1)
    assert outcome.histograms[Measure.SUBMIT].count == pytest.approx(60, abs=10)
    assert outcome.values["offered"] == pytest.approx(60 / 7, abs=1.5)
    assert "5 s are left out" in outcome.stretch.rule


@in_virtual_time
async def test_the_document_is_json_and_its_figures_are_read_again() -> None:
    async with world(plan_text(), "lose-result=0.2") as it:
        outcome = await it.outcome()
    document = json.loads(json.dumps(outcome.to_document()))
    assert document["schema"] == 1
    assert document["verdict"] == "broken"
    assert document["sandbox_bugs"] == ["lose-result=0.2"]
    assert document["audit"]["findings"]["lost"]["count"] > 0
    assert Figures.from_document(document["figures"]).counts == outcome.figures.counts


@in_virtual_time
async def test_two_runs_of_one_plan_are_one_history() -> None:
    histories = []
    for _ in range(2):
        async with world(plan_text(faults=fault("kill", "4s", share="30%", restart_after="2s"))) as it:
            await it.outcome()
            histories.append([repr(event) for event in it.events])
    assert histories[0] == histories[1]


@in_virtual_time
async def test_a_threshold_that_is_missed_fails_the_run() -> None:
    async with world(plan_text(thresholds='["p50.served < 100ms", "jobs.lost == 0"]')) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.FAILED
    assert [one.state.value for one in outcome.outcomes] == ["failed", "passed"]


@in_virtual_time
async def test_a_stop_ends_the_load_and_tells_what_there_is() -> None:
    async with world(plan_text()) as it:
        asyncio.get_running_loop().call_later(5.0, it.run.stop)
        began = asyncio.get_running_loop().time()
        outcome = await it.outcome()
        assert asyncio.get_running_loop().time() - began < 12
    assert outcome.verdict is Verdict.STOPPED
    assert 20 <= outcome.report.jobs.submitted <= 45
    assert outcome.report.jobs.answered == outcome.report.jobs.submitted
    assert outcome.report.broken == ()


@in_virtual_time
async def test_an_abort_ends_all_at_once() -> None:
    async with world(plan_text()) as it:
        asyncio.get_running_loop().call_later(5.0, it.run.abort)
        began = asyncio.get_running_loop().time()
        record = await it.run.run()
        assert asyncio.get_running_loop().time() - began < 9
        outcome = await it.judge(record)
    assert record.is_cut_short
    assert not record.is_settled
    assert outcome.report.count(Kind.STUCK)
    assert outcome.verdict is Verdict.STOPPED
    assert {event.after for event in it.of(LifeChanged)} >= {Life.STOPPED}


@in_virtual_time
async def test_jobs_that_no_node_offers_are_not_waited_for() -> None:
    stages = '[[nodes.stages]]\nkind="storm"\nto=3\n[[nodes.stages]]\nkind="hold"\nfor="6s"\n[[nodes.stages]]\nkind="storm"\nto=0'
    async with world(plan_text(nodes=stages, thresholds="[]")) as it:
        began = asyncio.get_running_loop().time()
        outcome = await it.outcome()
        assert asyncio.get_running_loop().time() - began < 25
    assert outcome.report.count(Kind.STUCK)
    assert outcome.verdict is Verdict.BROKEN


@in_virtual_time
async def test_a_gateway_without_a_ledger_is_asked_for_each_result() -> None:
    async with world(plan_text(), has_control=False) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.PASSED
    assert outcome.report.jobs.answered == 100
    assert outcome.report.jobs.credited == 100
    assert outcome.report.count(Kind.DOUBLE_CREDITED) == 0
    assert outcome.report.count(Kind.ALTERED) == 0
    assert outcome.report.count(Kind.MISCOUNTED) is None
    assert len(it.of(JobClaimed)) == len(it.of(ResultAccepted)) == 100


@in_virtual_time
async def test_public_counts_show_double_credits() -> None:
    async with world(plan_text(), "double-credit=0.3", has_control=False) as it:
        outcome = await it.outcome()
    assert outcome.report.count(Kind.DOUBLE_CREDITED)
    assert outcome.verdict is Verdict.BROKEN
