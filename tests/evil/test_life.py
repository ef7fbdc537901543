"""The life cycle under every order of events that Hypothesis finds, with the real client and the real node."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.domain.errors import (
    BrokenReply,
    IdentityRefused,
    SessionLost,
    StepFailed,
    StepFault,
    StepRefused,
    TimedOut,
    TransportError,
    TryLater,
)
from node.domain.events import Crash, LifeChanged
from node.domain.policies import Range
from node.domain.states import LIFE_TABLE, Life
from node.domain.states import Session as SessionState
from node.domain.verdict import Ruling, Verdict
from node.protocol.routes import Step
from tests.support.bench import POLICY, Bench, LedNode, job, led_node, malformed, until
from tests.support.script import After, Script, ScriptedLinks
from tests.support.virtual_time import VirtualLoop
from tests.unit.gateway.bench import MODELS
from tests.unit.gateway.bench import Bench as ClientBench
from tests.unit.gateway.scripted_gateway import said

T = TypeVar("T")

pytestmark = pytest.mark.timeout(120)

SHORT = settings(max_examples=12, stateful_step_count=15, suppress_health_check=list(HealthCheck), print_blob=True)

FAULTS = st.sampled_from(
    [
        said(500), said(401), said(403), said(400), said(404), said(409), said(302), said(204), said(200), said(429, retry_after="1e9"),
        said(200, []), said(200, {"access_token": "x"}), said(200, {"access_token": ""}), said(503, retry_after="86400"),
        BrokenReply("broken"), TimedOut("late"),
    ]
)  # fmt: skip
SESSION_STEPS = st.sampled_from([Step.REGISTER, Step.UPDATE_MODELS, Step.POLL, Step.POINTS, Step.LEAVE])


class _InVirtualTime(RuleBasedStateMachine):
    """Rules are sync; what they do runs on a loop in virtual time that lives as long as the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.is_started = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            if self.is_started:
                self.run(self.end())
        finally:
            self.runner.close()

    async def end(self) -> None:
        raise NotImplementedError


class SessionMachine(_InVirtualTime):
    """A client whose gateway fails, forgets and is slow; it must always find back to a session that works."""

    @initialize(life_s=st.sampled_from([None, 1.0, 8.0, 100.0, 3600.0]), skew_s=st.sampled_from([0.0, -1e6, 1e6]))
    def start(self, life_s: float | None, skew_s: float) -> None:
        async def make() -> ClientBench:
            return ClientBench()

        self.bench = self.run(make())
        self.is_started = True
        self.bench.gateway.life_s, self.bench.gateway.skew_s = life_s, skew_s

    async def _tried(self, work: Coroutine[Any, Any, object]) -> None:
        with suppress(StepFailed, TransportError):
            await work

    @rule()
    def join(self) -> None:
        self.run(self._tried(self.bench.join()))

    @rule()
    def poll(self) -> None:
        self.run(self._tried(self.bench.poll()))

    @rule()
    def ask_for_points(self) -> None:
        self.run(self._tried(self.bench.client.points()))

    @rule()
    def do_all_at_once(self) -> None:
        async def all_() -> None:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self.bench.poll(),
                    self.bench.client.points(),
                    self.bench.client.announce(MODELS),
                    self.bench.poll(),
                ):
                    group.create_task(self._tried(work))

        self.run(all_())

    @rule()
    def leave(self) -> None:
        self.run(self._tried(self.bench.client.leave(10.0)))

    @rule()
    def forget(self) -> None:
        self.bench.gateway.forget()

    @rule(step=SESSION_STEPS, faults=st.lists(FAULTS, min_size=1, max_size=6))
    def fail(self, step: Step, faults: list[Any]) -> None:
        self.bench.gateway.fail(step, *faults)

    @rule(seconds=st.sampled_from([0.1, 5.0, 60.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def nothing_crashes_and_nothing_is_told(self) -> None:
        if self.is_started:
            assert not self.bench.events.of(Crash)
            self.bench.assert_no_secret_was_told()

    async def end(self) -> None:
        self.bench.gateway.faults.clear()
        await self.bench.client.leave(10.0)
        await self.bench.join()
        await self.bench.poll()
        assert self.bench.states[-1] in {SessionState.VALID, SessionState.EXPIRING}
        await self.bench.client.aclose()


OUTCOMES = st.sampled_from(
    [
        TryLater("later"), TryLater("much later", 1e9), StepFault("fault"), StepRefused("no"), SessionLost("gone"),
        After(3.0), After(200.0), After(20.0, TryLater("late")),
    ]
)  # fmt: skip
VERDICTS = st.sampled_from(
    [Verdict(Ruling.RETRY, "later"), Verdict(Ruling.DEAD_LETTER, "no"), Verdict(Ruling.SESSION_LOST)]
)
STEPS_OF_LIFE = ("secret", "identity", "register", "models", "points", "poll")


class ForgettingScript(Script):
    """A script whose plans can be taken back."""

    def forget(self) -> None:
        self._plans.clear()


class LifeMachine(_InVirtualTime):
    """A node whose gateway does anything; it must run again when that ends, and answer every job it was given."""

    @initialize(slots=st.sampled_from([1, 3]))
    def start(self, slots: int) -> None:
        self.given: list[str] = []
        self.stopping = False
        self.stack = AsyncExitStack()
        self.run(self._start(slots))
        self.is_started = True

    async def _start(self, slots: int) -> None:
        policy = replace(POLICY, slots=slots, points_check_s=30.0, models_update=Range(20, 40), refusals=10**6)
        self.bench = Bench(policy)
        self.script = self.bench.script = ForgettingScript()
        self.bench.links = ScriptedLinks(self.script)
        self.led: LedNode = await self.stack.enter_async_context(led_node(self.bench))

    @rule(step=st.sampled_from(STEPS_OF_LIFE), outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
    def plan(self, step: str, outcomes: list[object]) -> None:
        self.bench.script.plan(step, *outcomes)

    @rule(step=st.sampled_from(["secret", "identity"]))
    def deny(self, step: str) -> None:
        self.bench.script.plan(step, IdentityRefused("no"))

    @rule(verdict=VERDICTS)
    def refuse_a_result(self, verdict: Verdict) -> None:
        self.bench.script.plan("result", verdict)

    @rule(takes_s=st.sampled_from([0.0, 5.0, 1e6]), is_whole=st.booleans())
    def give_a_job(self, takes_s: float, is_whole: bool) -> None:
        name = f"job-{len(self.given)}"
        self.given.append(name)
        self.bench.script.plan("poll", job(name) if is_whole else malformed(name))
        if is_whole:
            self.bench.executor.plan(After(takes_s))

    @rule(seconds=st.sampled_from([0.5, 10.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: not self.stopping)
    @rule()
    def lose_the_session(self) -> None:
        links = self.bench.links
        if links.links and links.current.membership.in_session:
            self.run(self._lose())

    async def _lose(self) -> None:
        self.bench.links.current.membership.lose("the gateway forgot it")

    @precondition(lambda self: len(self.given) > 2)
    @rule(is_abort=st.booleans())
    def stop(self, is_abort: bool) -> None:
        self.stopping = True
        self.run(self._stop(is_abort=is_abort))

    async def _stop(self, *, is_abort: bool) -> None:
        if is_abort:
            self.led.node.abort()
        else:
            self.led.node.drain()

    @invariant()
    def its_table_is_kept(self) -> None:
        if self.is_started:
            for moved in self.bench.events.of(LifeChanged):
                assert LIFE_TABLE[moved.before, moved.input] is moved.after
            assert self.bench.executor.peak <= self.bench.policy.slots
            assert not self.bench.events.of(Crash)

    async def end(self) -> None:
        self.script.forget()
        if not self.stopping:
            await until(lambda: self.led.node.life is Life.RUNNING, 2_000)
            polls = len(self.bench.script.times("poll"))
            await until(lambda: len(self.bench.script.times("poll")) > polls, 2_000)
            self.led.node.drain()
        await self.led.ended_within(self.bench.stop_policy.drain_s + 10)
        assert self.led.node.life is Life.STOPPED
        await self.stack.aclose()


TestSession = SessionMachine.TestCase
TestSession.settings = SHORT
TestLife = LifeMachine.TestCase
TestLife.settings = SHORT
