"""Faults of a plan, each with what it does to nodes, figures and books."""

from __future__ import annotations

import asyncio

import pytest

from node.domain.events import (
    JobClaimed,
    JobEnded,
    LifeChanged,
    PollFailed,
    ResultAccepted,
    ResultBuried,
    SessionChanged,
    StepEnded,
)
from node.domain.states import Life, Session
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Measure
from tests.integration.loadtest.world import fault, plan_text, world
from tests.support.virtual_time import in_virtual_time

BUSY = '[[jobs.arrivals]]\nkind = "constant"\nrate = 15\nat = "1s"\nfor = "10s"'


@in_virtual_time
async def test_killed_nodes_say_nothing_more() -> None:
    async with world(plan_text(arrivals=BUSY, faults=fault("kill", "6.05s", share="50%"))) as it:
        running = asyncio.create_task(it.run.run())
        await asyncio.sleep(7)
        quiet = len(it.events)
        gone = {event.node for event in it.of(LifeChanged) if event.after is Life.RUNNING}
        gone -= set(it.run.fleet.living)
        outcome = await it.judge(await running)
    assert len(gone) == 5
    ends = [event.node for event in it.of(LifeChanged) if event.after is Life.STOPPED]
    assert sorted(ends) == sorted(set(ends))
    assert not set(ends) & gone
    assert not [event for event in it.of(JobEnded) if event.error]
    later = [event for event in it.events[quiet:] if getattr(event, "node", None) in gone]
    assert later == []
    assert not [event for event in it.of(StepEnded) if event.step == "leave" and event.node in gone]
    # The gateway saw no goodbye either: their jobs were theirs until the lease ended, and then others did them.
    assert outcome.report.jobs.redelivered >= 3
    assert outcome.report.broken == ()
    assert outcome.figures.counts[Count.CRASHED] == 5
    assert outcome.histograms[Measure.REDELIVERY].count >= 3
    assert outcome.histograms[Measure.REDELIVERY].max_s < 5.5
    assert outcome.verdict is Verdict.PASSED


@in_virtual_time
async def test_killed_nodes_come_back_under_their_names() -> None:
    async with world(plan_text(arrivals=BUSY, faults=fault("kill", "6.05s", share="50%", restart_after="1s"))) as it:
        outcome = await it.outcome()
    registered = [event.node for event in it.of(StepEnded) if event.step == "register"]
    assert len(registered) == 15
    assert len(set(registered)) == 10
    assert outcome.verdict is Verdict.PASSED
    assert outcome.report.broken == ()
    assert it.crashes == []
    assert [mark.text for mark in outcome.figures.series.marks] == [
        "kill 50%, back after 1s",
        "5 nodes come back",
    ]


@in_virtual_time
async def test_results_of_a_former_life_are_not_sent_by_the_next() -> None:
    """A result that waits for a second attempt when its node crashes is gone."""
    cut = fault("unreachable", "4s", for_="2s") + "\n" + fault("kill", "5s", count=10, restart_after="2s")
    async with world(plan_text(arrivals=BUSY, faults=cut)) as it:
        outcome = await it.outcome()
    accepted = {event.key for event in it.of(ResultAccepted)}
    before = {event.key for event in it.of(JobClaimed) if "#" not in event.key.source}
    after = {event.key for event in it.of(JobClaimed) if "#1" in event.key.source}
    assert after
    assert after <= accepted
    assert before - accepted
    assert outcome.notes == ()
    assert outcome.report.broken == ()
    assert outcome.report.jobs.answered == outcome.report.jobs.submitted == 150


@in_virtual_time
async def test_an_unreachable_gateway_is_so_for_nodes_alone() -> None:
    async with world(plan_text(faults=fault("unreachable", "4s", for_="3s"))) as it:
        outcome = await it.outcome()
    failed = it.of(PollFailed)
    assert failed
    assert all("the plan has cut the network" in event.reason for event in failed)
    assert outcome.report.jobs.submitted == 100
    assert outcome.figures.counts[Count.SUBMIT_FAILED] == 0
    assert outcome.report.broken == ()
    assert outcome.histograms[Measure.CLAIM].max_s > 1


@in_virtual_time
async def test_slow_nodes_take_so_many_times_as_long() -> None:
    async with world(plan_text(faults=fault("slow", "4s", for_="3s", share="100%", factor=4))) as it:
        await it.outcome()
    times = [event.took_s for event in it.of(JobEnded)]
    assert min(times) == pytest.approx(0.5, abs=0.01)
    assert max(times) == pytest.approx(2.0, abs=0.01)
    assert 5 < sum(took > 1 for took in times) < 40


@in_virtual_time
async def test_silent_nodes_take_jobs_and_never_answer() -> None:
    async with world(plan_text(faults=fault("silent", "4s", for_="1s", share="30%"))) as it:
        outcome = await it.outcome()
    ended, accepted = len(it.of(JobEnded)), len(it.of(ResultAccepted))
    assert ended > accepted == 100
    assert outcome.report.jobs.redelivered == ended - accepted
    assert outcome.report.broken == ()


@in_virtual_time
async def test_nodes_answer_twice_and_a_good_gateway_knows() -> None:
    async with world(plan_text(faults=fault("answer-twice", "4s", for_="3s", share="100%"))) as it:
        outcome = await it.outcome()
    already = [event for event in it.of(ResultAccepted) if event.already]
    assert 20 <= len(already) <= 40
    assert outcome.figures.counts[Count.ALREADY] == len(already)
    assert outcome.report.broken == ()


@in_virtual_time
async def test_a_gateway_that_takes_an_answer_twice_is_found_out() -> None:
    text = plan_text(faults=fault("answer-twice", "4s", for_="3s", share="100%"))
    async with world(text, "double-accept", has_control=False) as it:
        outcome = await it.outcome()
    assert outcome.report.count(Kind.DUPLICATED)
    assert outcome.verdict is Verdict.BROKEN


@in_virtual_time
async def test_garbage_is_refused_and_the_job_done_by_another() -> None:
    async with world(plan_text(faults=fault("garbage", "4s", for_="2s", share="30%"))) as it:
        outcome = await it.outcome()
    assert it.of(ResultBuried)
    assert outcome.report.jobs.answered == outcome.report.jobs.submitted
    assert outcome.report.broken == ()


@in_virtual_time
async def test_expired_tokens_are_renewed_while_jobs_go_on() -> None:
    async with world(plan_text(faults=fault("expire-tokens", "5s"))) as it:
        outcome = await it.outcome()
    denied = [event for event in it.of(SessionChanged) if event.state is Session.REJECTED]
    assert len(denied) == 10
    assert outcome.histograms[Measure.RENEWAL].count == 10
    assert outcome.report.broken == ()
    assert outcome.notes == ()


@in_virtual_time
async def test_what_a_gateway_cannot_be_told_to_is_left_out_and_said() -> None:
    async with world(plan_text(faults=fault("expire-tokens", "5s")), has_control=False) as it:
        outcome = await it.outcome()
    assert outcome.notes == ("left out, since this gateway cannot be told to: all tokens expire (sandbox)",)


@in_virtual_time
async def test_faults_that_outlast_the_load_end_with_it() -> None:
    async with world(plan_text(faults=fault("unreachable", "8s", for_="4s"))) as it:
        asyncio.get_running_loop().call_later(10.0, it.run.stop)
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.STOPPED
    assert len([event for event in it.of(StepEnded) if event.step == "leave" and not event.error]) == 10


@pytest.mark.parametrize(
    ("bug", "kind"),
    [
        ("lose-result=0.2", Kind.LOST),
        ("double-credit=0.2", Kind.DOUBLE_CREDITED),
        ("double-deliver=0.2", Kind.DOUBLE_DELIVERED),
        ("no-redelivery", Kind.ORPHANED),
        ("leak-lease=0.5", Kind.LEAKED_LEASE),
        ("swap-result=0.2", Kind.ALTERED),
    ],
)
def test_planted_bugs_are_found(bug: str, kind: Kind) -> None:
    @in_virtual_time
    async def check() -> None:
        async with world(plan_text(arrivals=BUSY, faults=fault("kill", "5.05s", share="50%")), bug) as it:
            outcome = await it.outcome()
        assert outcome.report.count(kind), outcome.report
        assert outcome.verdict is Verdict.BROKEN

    check()
