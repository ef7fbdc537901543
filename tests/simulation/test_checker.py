"""Bugs planted one at a time: each must be caught, by the invariant that it breaks, or the checker is worth nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.app.assembly import Fleet
from node.domain.policies import BackOff, Range
from node.domain.results import FinishedJob
from node.domain.states import Hold
from node.domain.verdict import Ruling, Verdict
from node.gateway.session import Session
from node.monitors.auth_health import AuthHealthMonitor
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.ports.outbox import Outbox
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge
from node.runtime.signals import Bell
from node.sandbox.nodes import NodeRecord
from node.sandbox.policy import WorkloadPolicy
from node.sandbox.settlement import Settlement
from node.sources import gateway as gateway_source
from node.worker.job_runner import JobRunner
from node.worker.node import WorkerNode
from node.worker.poller import Poller
from node.worker.session_loop import SessionLoop
from tests.simulation.faults import Fault, Storm, Window
from tests.simulation.plan import FleetRestart, GatewayOutage, Plan, draw_plan
from tests.simulation.program import Wrap
from tests.simulation.world import run

pytestmark = pytest.mark.timeout(180)

SEEDS = (1, 2, 3)

Plant = Callable[[pytest.MonkeyPatch], Wrap | None]
PLANTS: dict[str, tuple[int, str, Plant]] = {}
"""By name: the invariant that is broken, words of the violation, and what breaks it."""


def breaks(invariant: int, words: str) -> Callable[[Plant], Plant]:
    def plant(function: Plant) -> Plant:
        PLANTS[function.__name__] = (invariant, words, function)
        return function

    return plant


def rough(seed: int) -> Plan:
    """A small fleet to which everything happens."""
    plan = draw_plan(seed, nodes=5)
    policies = replace(plan.policies, node=replace(plan.policies.node, poll_cycle_s=5.0, slots=2))
    workload = replace(plan.sandbox.workload or WorkloadPolicy(), rate_per_s=0.3)
    return replace(
        plan,
        policies=policies,
        sandbox=replace(plan.sandbox, workload=workload, token_lifetime_s=200.0, lease_s=90.0, prefer_other_s=0.0),
        rates=dict.fromkeys(Fault, 0.004),
        storms=(Storm(50.0, 290.0, Fault.SERVER_ERROR, Step.UPDATE_RESULT.label, 0.95),),
        gateway_outages=(GatewayOutage(900.0, 150.0, killed=True),),
        fleet_restarts=tuple(
            FleetRestart(at, 10 + seed, way, 5.0)
            for at, way in [(400.0, "kill"), (950.0, "kill"), (1000.0, "kill"), (1300.0, "drain"), (1500.0, "kill")]
        ),
        auth_outages=(Window(300.0, 600.0), Window(1480.0, 1700.0)),
        disk_full=(Window(700.0, 760.0),),
        disk_s=Range(0.0, 0.5),
    )


class Leaky:
    """An outbox that says of every third result that it is kept, and does not keep it."""

    def __init__(self, inner: Outbox) -> None:
        self._inner = inner
        self._number = 0

    async def put(self, finished: FinishedJob) -> None:
        self._number += 1
        if self._number % 3:
            await self._inner.put(finished)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Forgetful(Leaky):
    """An outbox that keeps its results in memory alone."""

    def __init__(self, inner: Any) -> None:
        self._file = inner
        self._inner = MemoryOutbox(inner._policy, inner._clock)

    async def put(self, finished: FinishedJob) -> None:
        await self._inner.put(finished)

    async def aclose(self) -> None:
        await self._file.aclose()


@breaks(1, "is not on disk")
def an_outbox_that_acknowledges_what_it_does_not_keep(_: pytest.MonkeyPatch) -> Wrap:
    return Leaky


@breaks(1, "in the next process")
def an_outbox_in_memory(_: pytest.MonkeyPatch) -> Wrap:
    return Forgetful


@breaks(1, "no gateway has a result of it")
def a_5xx_taken_for_success(patch: pytest.MonkeyPatch) -> None:
    def judged(step: Step, status: int, *args: Any, **kwargs: Any) -> Judged:
        if step is Step.UPDATE_RESULT and status >= 500:
            return Judged(Verdict(Ruling.OK))
        return judge(step, status, *args, **kwargs)

    patch.setattr(gateway_source, "judge", judged)


@breaks(1, "nobody refused it")
def a_5xx_taken_for_a_refusal(patch: pytest.MonkeyPatch) -> None:
    def judged(step: Step, status: int, *args: Any, **kwargs: Any) -> Judged:
        if step is Step.UPDATE_RESULT and status >= 500:
            return Judged(Verdict(Ruling.DEAD_LETTER, "no"))
        return judge(step, status, *args, **kwargs)

    patch.setattr(gateway_source, "judge", judged)


@breaks(1, "is sent and not on disk")
def a_result_that_is_sent_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    async def put(self: Sender, finished: FinishedJob, on_kept: Callable[[], object]) -> None:
        source = next((lane.source for lane in self._lanes.of(finished.key.node) if lane.source), None)
        if source is not None:
            await source.settle(finished)
        await self._outbox.put(finished)
        on_kept()
        self._take_up(finished)

    patch.setattr(Sender, "put", put)


@breaks(2, "is run again")
def a_node_that_runs_a_job_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobRunner, "_reason_to_skip", lambda *_: "")


@breaks(2, "nodes are credited with")
def a_gateway_that_credits_twice(patch: pytest.MonkeyPatch) -> None:
    accept = Settlement.accept

    async def twice(self: Settlement, node: NodeRecord, update: Any) -> None:
        await accept(self, node, update)
        node.succeeded += 1

    patch.setattr(Settlement, "accept", twice)


@breaks(3, "said nothing of it")
def a_job_that_is_dropped(patch: pytest.MonkeyPatch) -> None:
    start, number = JobRunner.start, itertools.count()
    patch.setattr(JobRunner, "start", lambda self, *args: start(self, *args) if next(number) % 3 else True)


@breaks(3, "its process ended in good order")
def a_job_that_is_never_answered(patch: pytest.MonkeyPatch) -> None:
    run_ = JobRunner._run

    async def seldom(self: JobRunner, open_job: Any, work: Any) -> None:
        open_job.is_kept = int(open_job.key.job[-2:]) % 3 == 0
        if not open_job.is_kept:
            await run_(self, open_job, work)

    patch.setattr(JobRunner, "_run", seldom)


@breaks(4, "slots in use")
def a_node_that_heeds_no_gate(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionLoop, "_closed_gates", lambda _: Hold.NOTHING)


@breaks(4, "while the disk takes none")
def a_node_that_heeds_no_disk(patch: pytest.MonkeyPatch) -> None:
    gates = SessionLoop._closed_gates
    patch.setattr(SessionLoop, "_closed_gates", lambda self: gates(self) & ~Hold.DISK)


@breaks(5, "shows a secret")
def a_session_that_tells_its_token(patch: pytest.MonkeyPatch) -> None:
    feed = Session._feed
    patch.setattr(Session, "_feed", lambda self, input_, _="": feed(self, input_, self.token.reveal()))


@breaks(5, "shows a secret")
def replies_that_are_not_masked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("node.gateway.caller.masked_reply", lambda reply, *_: reply)


@breaks(0, "long after the faults ended")
def a_node_that_does_not_come_back(patch: pytest.MonkeyPatch) -> None:
    serve = WorkerNode.serve

    async def once(self: WorkerNode) -> None:
        if hasattr(self, "served"):
            await asyncio.sleep(1e6)
        object.__setattr__(self, "served", True)
        await serve(self)

    patch.setattr(WorkerNode, "serve", once)


@breaks(0, "long after the faults ended")
def an_auth_gate_that_stays_shut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AuthHealthMonitor, "_offer_probe", lambda _: None)


@breaks(0, "wait long after the faults ended")
def a_sender_that_gives_up(patch: pytest.MonkeyPatch) -> None:
    attach = Sender.attach
    attached: set[tuple[int, str]] = set()

    def once(self: Sender, node: Any, source: Any) -> None:
        if (id(self), node) not in attached:
            attached.add((id(self), node))
            attach(self, node, source)

    patch.setattr(Sender, "attach", once)


@breaks(0, "has not polled for")
def a_node_that_falls_silent(patch: pytest.MonkeyPatch) -> None:
    poll = Poller.poll

    async def silent(self: Poller, *args: Any) -> Any:
        job = await poll(self, *args)
        self.due += 0 if random.Random(self.due).random() < 0.98 else 1e6
        return job

    patch.setattr(Poller, "poll", silent)


@breaks(0, "longer than it may")
def a_drain_that_takes_too_long(patch: pytest.MonkeyPatch) -> None:
    close = WorkerNode.close

    async def slow(self: WorkerNode) -> None:
        await close(self)
        await asyncio.sleep(90)

    patch.setattr(WorkerNode, "close", slow)


@breaks(0, "were left behind")
def a_task_that_nobody_owns(patch: pytest.MonkeyPatch) -> None:
    run_ = Fleet.run

    async def careless(self: Fleet) -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(1e6), name="stray")
        await run_(self)

    patch.setattr(Fleet, "run", careless)


@breaks(0, "crashed")
def a_defect_in_a_node(patch: pytest.MonkeyPatch) -> None:
    poll, number = Poller.poll, itertools.count(1)

    async def defective(self: Poller, *args: Any) -> Any:
        if next(number) % 100 == 0:
            raise LookupError("a planted defect")
        return await poll(self, *args)

    patch.setattr(Poller, "poll", defective)


@breaks(0, "without a move of the clock")
def a_loop_that_spins(patch: pytest.MonkeyPatch) -> None:
    wait = Bell.wait

    async def impatient(self: Bell, timeout_s: float | None = None) -> bool:
        return await wait(self, 0 if timeout_s is not None and timeout_s > 3 else timeout_s)

    patch.setattr(Bell, "wait", impatient)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    invariant, words, plant = PLANTS[name]
    wrap = plant(monkeypatch) or (lambda box: box)

    def is_it(text: str) -> bool:
        return f"[{invariant}]" in text and words in text

    found = (run(rough(seed), wrap=wrap, enough=is_it) for seed in SEEDS)
    assert any(is_it(text) for outcome in found for text in outcome.violations)


def test_what_is_not_deterministic_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.SystemRandom()
    monkeypatch.setattr(BackOff, "draw", lambda *_: chance.uniform(0, 1))
    assert run(rough(1)).digest != run(rough(1)).digest


def test_without_a_bug_nothing_is_found() -> None:
    assert [text for seed in SEEDS for text in run(rough(seed)).violations] == []
