"""The way into a session: its five steps, what each failure of each makes of the life, and when a goodbye is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from node.domain.errors import (
    IdentityRefused,
    ProxyFailed,
    SessionLost,
    StepFailed,
    StepFault,
    StepRefused,
    TryLater,
)
from node.domain.events import LifeChanged, ModelsAnnounced, Notice
from node.domain.policies import Range
from node.domain.proxies import ProxyAddress
from node.domain.states import Life, LifeInput
from node.runtime.signals import Signal
from tests.support.bench import POLICY, Bench, led_node, spec, until
from tests.support.script import NEVER, After
from tests.support.virtual_time import in_virtual_time

STEPS = ["secret", "identity", "register", "models"]
LIFE_AT_ONCE = [Life.STARTING, Life.RUNNING]


def caused_by(error: StepFailed, cause: BaseException) -> StepFailed:
    error.__cause__ = cause
    return error


@in_virtual_time
async def test_the_steps_are_taken_in_the_order_of_the_protocol() -> None:
    bench = Bench()
    bench.proxies.address = ProxyAddress.parse("10.0.0.1:3128")
    bench.auth.gate = Signal()
    bench.proxies.wait_s = 7
    async with led_node(bench, spec_=spec(models=("a", "b"))):
        await asyncio.sleep(60)
        assert bench.script.log == []
        bench.auth.gate.set()
        await asyncio.sleep(1)
        assert bench.script.log == []
        await asyncio.sleep(7)
        assert bench.script.steps[:5] == [*STEPS, "poll"]
        assert bench.links.current.proxy == bench.proxies.address
        assert bench.proxies.reports == [(True, "")]
        assert [event.models for event in bench.events.of(ModelsAnnounced)] == [("a", "b")]
        assert bench.lives() == LIFE_AT_ONCE


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [StepFault("f"), StepRefused("r"), SessionLost("l"), IdentityRefused("i")])
def test_a_failed_step_leads_to_recovery_and_back(step: str, error: StepFailed) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.script.plan(step, error)
        async with led_node(bench):
            await asyncio.sleep(1)
            assert bench.lives() == [Life.STARTING, Life.RECOVERING]
            assert bench.events.of(LifeChanged)[-1].reason == str(error)
            # Who is in session says goodbye, and nobody else.
            expected = STEPS[: STEPS.index(step) + 1] + (["leave"] if step == "models" else []) + ["close"]
            assert bench.script.steps == expected
            assert bench.links.current.closed == 1
            await until(lambda: "poll" in bench.script.steps)
            assert POLICY.recovery.low <= bench.now <= POLICY.recovery.high + 1
            assert bench.lives() == [Life.STARTING, Life.RECOVERING, Life.STARTING, Life.RUNNING]

    scenario()


@in_virtual_time
async def test_three_refusals_in_a_row_fail_the_identity() -> None:
    bench = Bench()
    bench.script.always["identity"] = IdentityRefused("denied")
    async with led_node(bench) as led:
        await led.ended_within(1000)
        assert led.node.life is Life.FAILED
        assert bench.script.steps.count("identity") == 3
        assert bench.events.of(LifeChanged)[-1].input is LifeInput.REFUSED
        assert "leave" not in bench.script.steps
        assert bench.proxies.releases[led.node.node_id] == 1
        await led.node.serve()
        assert led.node.life is Life.FAILED


@in_virtual_time
async def test_refusals_do_not_count_while_the_auth_service_is_unhealthy() -> None:
    bench = Bench()
    bench.auth.is_healthy = False
    bench.script.plan("secret", *[IdentityRefused("denied")] * 9)
    async with led_node(bench) as led:
        await until(lambda: led.node.life is Life.RUNNING)
        assert bench.script.steps.count("secret") == 10


@pytest.mark.parametrize("between", [None, StepFault("another fault")])
def test_only_refusals_in_a_row_count(between: StepFailed | None) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        denied = IdentityRefused("denied")
        # A start that succeeds is followed by a fault, to come to the next start.
        bench.script.plan("secret", denied, denied, between, denied, denied, None)
        bench.script.plan("poll", *([] if between else [StepFault("to start anew")]))
        async with led_node(bench) as led:
            await until(lambda: bench.script.steps.count("secret") == 6)
            assert led.node.life is Life.RUNNING

    scenario()


@in_virtual_time
async def test_a_proxy_is_blamed_for_what_it_did_and_for_nothing_else() -> None:
    bench = Bench()
    by_proxy = caused_by(StepFault("no way"), caused_by(TryLater("x"), ProxyFailed("proxy p: refused")))
    bench.script.plan("secret", by_proxy, StepFault("HTTP 500"))
    async with led_node(bench) as led:
        await until(lambda: led.node.life is Life.RUNNING)
        assert bench.proxies.reports == [(False, "proxy p: refused"), (True, "")]
        bench.script.plan("poll", caused_by(StepFault("no way"), ProxyFailed("proxy p: broke")))
        await until(lambda: led.node.life is Life.RECOVERING)
        assert bench.proxies.reports[2:] == [(False, "proxy p: broke")]


@in_virtual_time
async def test_a_lost_session_is_started_anew_at_once() -> None:
    bench = Bench()
    async with led_node(bench) as led:
        await asyncio.sleep(11)
        polls = bench.script.steps.count("poll")
        assert polls >= 2
        bench.links.current.membership.lose("the gateway forgot it")
        await asyncio.sleep(0.1)
        assert bench.lives() == [*LIFE_AT_ONCE, *LIFE_AT_ONCE]
        assert bench.events.of(LifeChanged)[2].reason == "the gateway forgot it"
        assert bench.script.steps.count("poll") == polls + 1
        assert bench.script.steps[-6:] == ["close", *STEPS, "poll"]
        assert [link.closed for link in bench.links.links] == [1, 0]
        assert led.node.life is Life.RUNNING


@pytest.mark.parametrize("how", ["poll", "renewal"])
def test_sessions_that_are_never_good_for_a_poll_do_not_become_a_storm(how: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(policy=replace(POLICY, recovery=Range(0, 10)))
        if how == "poll":
            bench.script.always["poll"] = SessionLost("denied again")
        else:
            bench.script.always["poll"] = NEVER

            def lose_it(event: object) -> None:
                if isinstance(event, LifeChanged) and event.input is LifeInput.READY:
                    bench.links.current.membership.lose("denied again")

            bench.events.listener = lose_it
        async with led_node(bench) as led:
            await asyncio.sleep(3600)
            assert Life.RECOVERING in bench.lives()
            # One each five seconds or so, the mean of the recovery.
            assert 400 < bench.script.steps.count("register") < 900
            led.node.drain()
            await led.ended_within(1)

    scenario()


@in_virtual_time
async def test_recovery_has_a_least_length_whatever_the_policy_says() -> None:
    bench = Bench(policy=replace(POLICY, recovery=Range(0, 0)))
    bench.script.always["register"] = StepRefused("HTTP 422")
    async with led_node(bench):
        await asyncio.sleep(60)
        assert 55 <= bench.script.steps.count("register") <= 61


@in_virtual_time
async def test_connections_that_do_not_close_hold_nobody_up() -> None:
    bench = Bench()
    bench.script.plan("close", NEVER)
    bench.script.plan("secret", StepFault("f"))
    async with led_node(bench):
        await asyncio.sleep(5)
        assert bench.lives() == [Life.STARTING, Life.RECOVERING]
        assert ["not closed" in event.text for event in bench.events.of(Notice)] == [True]


@in_virtual_time
async def test_a_goodbye_has_its_time_and_no_more() -> None:
    bench = Bench()
    bench.script.plan("leave", NEVER)
    bench.script.plan("models", After(3, StepFault("f")))
    async with led_node(bench):
        await until(lambda: Life.RECOVERING in bench.lives())
        assert 12.9 <= bench.now <= 13.5
