"""A generator that says nothing that is not so."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from node.domain.errors import NodeError
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Measure
from node.protocol.routes import Step
from tests.integration.loadtest.world import fault, plan_text, world
from tests.support.virtual_time import VirtualClock, VirtualLoop, in_virtual_time


@contextlib.asynccontextmanager
async def starving() -> AsyncIterator[None]:
    """Within the block the loop stands still for 0.15 s, ten times a second."""
    loop = cast("VirtualLoop", asyncio.get_running_loop())

    async def starve() -> None:
        while True:
            await asyncio.sleep(0.1)
            loop.advance(0.15)

    task = asyncio.create_task(starve())
    yield
    task.cancel()
    await asyncio.wait([task])


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
async def test_polls_that_a_stall_kept_from_being_made_are_counted() -> None:
    async with world(plan_text(arrivals="", thresholds="[]")) as it:
        loop = asyncio.get_running_loop()
        loop.call_later(4.5, it.door.shut)
        loop.call_later(9.5, it.door.open)
        outcome = await it.outcome()
    polls = outcome.histograms[Measure.EMPTY_POLL]
    # Each of ten nodes was in one poll for five seconds, and would have made twenty.
    assert polls.percentiles_s(99)[0] > 4
    assert polls.share_above(1.0) * polls.count == pytest.approx(160, rel=0.15)


@in_virtual_time
async def test_a_gateway_that_leaves_too_many_without_an_answer_has_failed() -> None:
    async with world(plan_text(), policy=DriverPolicy(max_in_flight=5)) as it:
        loop = asyncio.get_running_loop()
        loop.call_later(4.5, it.door.shut)
        loop.call_later(9.5, it.door.open)
        outcome = await it.outcome()
    assert outcome.figures.counts[Count.OFFERED] == 100
    assert outcome.report.jobs.submitted == pytest.approx(55, abs=3)
    assert outcome.health.reasons == ()
    assert outcome.verdict is Verdict.FAILED
    (dropped,) = [one for one in outcome.outcomes if str(one.threshold) == "jobs.dropped == 0"]
    assert (dropped.state.value, dropped.left) == ("failed", 100 - outcome.report.jobs.submitted)


@in_virtual_time
async def test_a_generator_that_falls_behind_is_void_however_many_are_in_flight() -> None:
    async with world(plan_text(), policy=DriverPolicy(max_in_flight=5)) as it:
        loop = asyncio.get_running_loop()
        loop.call_later(4.5, it.door.shut)
        loop.call_later(9.5, it.door.open)
        async with starving():
            outcome = await it.outcome()
    assert outcome.figures.counts[Count.DROPPED] > 0
    assert outcome.verdict is Verdict.VOID


class _FailingSlowly:
    """Stands before a gateway, and takes two seconds to refuse whatever it is asked for at these paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in {Step.SUBMIT_JOB.route.path, Step.POLL.route.path}:
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(2)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"busy"})


@in_virtual_time
async def test_a_gateway_that_fails_slowly_is_not_quick() -> None:
    limits = '["p50.failed_submit < 1s", "max.failed_poll < 1s", "p99.submit < 1s"]'
    async with world(plan_text(thresholds=limits), has_control=False, around_app=_FailingSlowly) as it:
        outcome = await it.outcome()
    submits, polls = (outcome.histograms[of] for of in (Measure.FAILED_SUBMIT, Measure.FAILED_POLL))
    assert submits.count == 100
    assert submits.percentiles_s(50)[0] == pytest.approx(2.0, abs=0.1)
    assert polls.percentiles_s(50)[0] == pytest.approx(2.0, abs=0.1)
    assert polls.count == outcome.figures.counts[Count.POLL_FAILED]
    assert [one.state.value for one in outcome.outcomes[:3]] == ["failed", "failed", "unknown"]


@in_virtual_time
async def test_a_backlog_at_the_end_of_the_load_is_judged() -> None:
    """One node for ten jobs a second: what waits at the end is what waits longest."""
    text = plan_text(thresholds='["p99.job < 12s"]', cycle="50ms").replace("to = 10", "to = 1")
    text = text.replace('warm_up = "0s"', 'warm_up = "2s"').replace('settle = "20s"', 'settle = "90s"')
    async with world(text) as it:
        outcome = await it.outcome()
    job = outcome.histograms[Measure.JOB]
    assert job.count == pytest.approx(90, abs=10)
    assert job.max_s == pytest.approx(40, rel=0.1)
    assert outcome.verdict is Verdict.FAILED


@in_virtual_time
async def test_a_starved_event_loop_makes_the_run_void() -> None:
    async with world(plan_text()) as it, starving():
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.VOID
    assert any("event loop was late" in reason for reason in outcome.health.reasons)


@in_virtual_time
async def test_a_long_wait_for_open_jobs_does_not_make_up_for_a_starved_load() -> None:
    text = plan_text(faults=fault("silent", "5s", share="50%", for_="7s"), lease="60s")
    async with world(text.replace('settle = "20s"', 'settle = "90s"')) as it:
        record = await it.run.run()
    assert record.times.settled_at - record.times.load_ended_at > 40
    assert len(record.health.to_document()["cpu"][0]) <= 14


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


@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
def test_a_gateway_that_falls_silent_at_the_end_is_not_waited_for_long(has_control: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        async with world(plan_text(), has_control=has_control) as it:
            record = await it.run.run()
            it.door.shut()
            began = asyncio.get_running_loop().time()
            outcome = await it.judge(record)
            assert asyncio.get_running_loop().time() - began < 150
            it.door.open()
        assert outcome.report.broken == ()
        assert outcome.report.count(Kind.LOST) is None
        assert outcome.values["jobs.unknown"] == 100
        assert outcome.notes
        assert outcome.verdict is Verdict.FAILED

    check()


class _MuteOnResults:
    """Stands before a gateway, hands out no job, and answers no question about results."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/get_result"):
            await asyncio.sleep(7200)
        if scope["path"] == Step.POLL.route.path:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"busy"})
            return
        await self._app(scope, receive, send)


@pytest.mark.parametrize(
    ("order", "after_s", "least_s", "most_s"),
    [(None, 0, 20, 21), ("stop", 15, 7, 9), ("abort", 15, 2, 4)],
    ids=["time", "stop", "abort"],
)
def test_a_gateway_that_tells_no_results_does_not_prolong_the_time_to_settle(
    order: str | None, after_s: float, least_s: float, most_s: float
) -> None:
    """The load is over after 12.5 s, and 20 s are to settle; two or three more nodes leave in."""

    @in_virtual_time
    async def check() -> None:
        async with world(plan_text(), has_control=False, around_app=_MuteOnResults) as it:
            if order is not None:
                asyncio.get_running_loop().call_later(after_s, getattr(it.run, order))
            record = await it.run.run()
        assert least_s <= record.times.settled_at - record.times.load_ended_at <= most_s
        assert not record.is_settled

    check()


class _MuteOnCredits:
    """Stands before a gateway, and answers no question about what nodes were credited with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == Step.NODE_JOB_COUNT.route.path:
            await asyncio.sleep(7200)
        await self._app(scope, receive, send)


@in_virtual_time
async def test_a_gateway_that_does_not_tell_credits_is_not_waited_for_long() -> None:
    policy = DriverPolicy(ask_s=3600)
    async with world(plan_text(), has_control=False, policy=policy, around_app=_MuteOnCredits) as it:
        record = await it.run.run()
        began = asyncio.get_running_loop().time()
        outcome = await it.judge(record)
        assert asyncio.get_running_loop().time() - began < 150
    assert outcome.report.count(Kind.UNCREDITED) is None
    assert outcome.report.count(Kind.LOST) == 0
    assert "the gateway took too long to tell what each node was credited with" in outcome.notes


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


CRASHES = plan_text(
    arrivals='[[jobs.arrivals]]\nkind = "constant"\nrate = 15\nat = "1s"\nfor = "10s"',
    faults=f"{fault('kill', '4.05s', share='50%', restart_after='1s')}\n{fault('kill', '7.05s', share='50%')}",
)


class BusyClock(VirtualClock):
    """The clock of a loop whose turns take long: its own time is that of the turn's beginning, the wall's is right."""

    def monotonic(self) -> float:
        return super().monotonic() // 0.5 * 0.5


@pytest.mark.parametrize(("slack_s", "is_accused"), [(0.0, True), (1.0, False)])
def test_a_lease_that_ends_by_a_busy_loops_time_accuses_nobody(slack_s: float, is_accused: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        policy = AuditPolicy(lease_s=5.0, slack_s=slack_s)
        async with world(CRASHES, audit=policy, sandbox_clock=BusyClock()) as it:
            outcome = await it.outcome()
        assert outcome.report.jobs.redelivered > 0
        assert bool(outcome.report.count(Kind.DOUBLE_DELIVERED)) is is_accused
        assert (outcome.report.broken != ()) is is_accused

    check()


@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_stalls_accuses_nobody(seed: int, has_control: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        chance = random.Random(seed)
        async with world(CRASHES, has_control=has_control) as it:
            loop = cast("VirtualLoop", asyncio.get_running_loop())

            async def stall() -> None:
                while True:
                    await asyncio.sleep(chance.uniform(0.2, 2.0))
                    loop.advance(chance.uniform(0.1, 2.5))

            stalling = asyncio.create_task(stall())
            outcome = await it.outcome()
            stalling.cancel()
            await asyncio.wait([stalling])
        assert outcome.report.broken == ()
        assert outcome.verdict is Verdict.VOID

    check()


@pytest.mark.parametrize("has_control", [True, False], ids=["ledger", "public"])
def test_jobs_that_a_starved_generator_did_not_fetch_accuse_nobody(has_control: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        text = CRASHES.replace('settle = "20s"', 'settle = "3s"')
        async with world(text, has_control=has_control) as it:
            loop = cast("VirtualLoop", asyncio.get_running_loop())

            async def starve() -> None:
                while True:
                    await asyncio.sleep(0.1)
                    loop.advance(1.0)

            starving = asyncio.create_task(starve())
            outcome = await it.outcome()
            starving.cancel()
            await asyncio.wait([starving])
        assert {finding.kind for finding in outcome.report.broken} == {Kind.STUCK}
        assert outcome.verdict is Verdict.VOID
        assert outcome.report.jobs.answered is not None

    check()


@in_virtual_time
async def test_what_hangs_on_a_lease_that_nobody_named_is_unknown() -> None:
    text = CRASHES.replace('["jobs.lost == 0"', '["max.redelivered <= 1.5 * lease", "jobs.double_delivered == 0"')
    async with world(text, has_control=False, audit=AuditPolicy(lease_s=None)) as it:
        outcome = await it.outcome()
    assert outcome.report.jobs.redelivered > 0
    assert outcome.values["lease"] is None
    assert [one.state.value for one in outcome.outcomes[:2]] == ["unknown", "unknown"]
    assert outcome.verdict is Verdict.FAILED
    assert outcome.report.count(Kind.ORPHANED) == 0, "each job has its result"
    async with world(text, "no-redelivery", has_control=False, audit=AuditPolicy(lease_s=None)) as it:
        outcome = await it.outcome()
    assert outcome.report.count(Kind.STUCK)
    assert outcome.report.count(Kind.ORPHANED) is None
    assert outcome.report.count(Kind.LEAKED_LEASE) is None
    assert "the gateway's lease is not known" in outcome.report.notes[0]


@in_virtual_time
async def test_a_sandbox_elsewhere_tells_its_lease_by_its_ledger() -> None:
    async with world(CRASHES, audit=AuditPolicy(lease_s=None)) as it:
        outcome = await it.outcome()
    assert outcome.values["lease"] == pytest.approx(5.0)
    assert outcome.report.broken == ()


async def _junk(scope: Scope, receive: Receive, send: Send) -> None:
    """What answers everything, and is no gateway."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"<html>It works!</html>"})


@in_virtual_time
async def test_a_run_in_which_nothing_happened_has_not_passed() -> None:
    async with world(plan_text(thresholds='["jobs.lost == 0"]'), has_control=False, around_app=lambda _: _junk) as it:
        outcome = await it.outcome()
    assert outcome.verdict is Verdict.FAILED
    assert [str(one.threshold) for one in outcome.outcomes] == [
        "jobs.lost == 0",
        "jobs.submitted > 0",
        "poll_rate > 0/s",
    ]
