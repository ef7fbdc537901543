"""Drain and abort at every phase of a life: in time, with every job answered, and everything sent that could be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import uvloop

from node.domain.errors import EngineFailed, IdentityRefused, SessionLost, StepFault, StorageUnavailable, TryLater
from node.domain.events import (
    Event,
    HoldsChanged,
    JobClaimed,
    JobEnded,
    LifeChanged,
    PointsChecked,
    PollEnded,
    PollStarted,
    ResultLost,
)
from node.domain.policies import Range, StopPolicy
from node.domain.presence import Presence
from node.domain.proxies import ProxyAddress
from node.domain.results import Failure, Success
from node.domain.states import Hold, Life, LifeInput
from node.domain.verdict import Ruling, Verdict
from node.runtime.signals import Signal
from node.worker.stopping import abort_times, drain_times
from tests.support.bench import POLICY, Bench, LedNode, job, jobs, led_node, until
from tests.support.script import NEVER, After, SwitchedGate
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import wait_until

DRAIN_S = 60.0
ABORT_S = 5.0
AT_ONCE_S = 0.01


@dataclass(frozen=True)
class Phase:
    """Where a node stands when it is stopped, and what is to come of that.

    ``drained_in`` are the least and the most seconds that a drain takes; ``says_goodbye`` whether it leaves.
    """

    name: str
    prepare: Callable[[Bench], object]
    reached: Callable[[Bench, LedNode], object]
    drained_in: tuple[float, float] = (0, AT_ONCE_S)
    says_goodbye: bool = False
    start_in_s: float = 0.0


def nothing(_bench: Bench) -> None:
    pass


def held_by_auth(bench: Bench) -> None:
    bench.auth.gate = Signal()


def held_by_proxy(bench: Bench) -> None:
    bench.proxies.address = ProxyAddress.parse("10.0.0.1:3128")
    bench.proxies.wait_s = 1e9


def hanging(step: str) -> Phase:
    return Phase(
        f"in the step {step}",
        lambda bench: bench.script.plan(step, NEVER),
        lambda bench, _led: step in bench.script.steps,
        says_goodbye=step == "models",
    )


def after_a_fault(bench: Bench) -> None:
    bench.script.plan("poll", StepFault("HTTP 302"))
    bench.script.plan("leave", After(8))


def running(bench: Bench, led: LedNode) -> bool:
    return led.node.life is Life.RUNNING and bench.now > 2


PHASES = [
    Phase("new, waiting for its start", nothing, lambda bench, _led: bench.now > 2, start_in_s=1000),
    Phase("waiting for the auth service", held_by_auth, lambda bench, _led: bench.now > 2),
    Phase("waiting for a proxy", held_by_proxy, lambda bench, _led: bench.now > 2),
    *(hanging(step) for step in ("secret", "identity", "register", "models")),
    Phase("idle", nothing, running, says_goodbye=True),
    Phase(
        "polling",
        lambda bench: bench.script.plan("poll", NEVER),
        running,
        drained_in=(5, 5.01),
        says_goodbye=True,
    ),
    Phase(
        "asking for points",
        lambda bench: bench.script.plan("points", NEVER),
        lambda bench, _led: "points" in bench.script.steps,
        drained_in=(5, 5.01),
        says_goodbye=True,
    ),
    Phase(
        "backing off",
        lambda bench: bench.script.plan("poll", TryLater("HTTP 429", 50)),
        running,
        says_goodbye=True,
    ),
    Phase(
        "with a gate closed", lambda bench: setattr(bench.gates[0], "closed_because", "x"), running, says_goodbye=True
    ),
    Phase(
        "leaving after a fault",
        after_a_fault,
        lambda bench, _led: "leave" in bench.script.steps,
        drained_in=(7, 8),
        says_goodbye=True,
    ),
    Phase(
        "recovering",
        lambda bench: bench.script.plan("secret", StepFault("f")),
        lambda _bench, led: led.node.life is Life.RECOVERING,
    ),
    Phase(
        "saying a goodbye that hangs",
        lambda bench: bench.script.plan("leave", NEVER),
        running,
        drained_in=(10, DRAIN_S),
        says_goodbye=True,
    ),
]

every_phase = pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)


def bench_for(phase: Phase) -> Bench:
    bench = Bench(policy=replace(POLICY, points_check_s=60), gates=(SwitchedGate(),))
    phase.prepare(bench)
    return bench


@every_phase
def test_drain(phase: Phase) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = bench_for(phase)
        async with led_node(bench, phase.start_in_s) as led:
            await until(lambda: phase.reached(bench, led))
            polls = bench.script.steps.count("poll")
            led.node.drain()
            led.node.drain()
            took_s = await led.ended_within(DRAIN_S)
            assert phase.drained_in[0] <= took_s <= phase.drained_in[1]
            assert led.node.life is Life.STOPPED
            assert led.node.presence is Presence.SHUTDOWN
            assert bench.script.steps.count("poll") == polls
            assert bench.script.steps.count("leave") == phase.says_goodbye
            assert all(link.closed == 1 for link in bench.links.links)
            assert bench.proxies.releases[led.node.node_id] == 1

    scenario()


@every_phase
def test_abort(phase: Phase) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = bench_for(phase)
        async with led_node(bench, phase.start_in_s) as led:
            await until(lambda: phase.reached(bench, led))
            steps = list(bench.script.steps)
            led.node.abort()
            assert led.node.life is Life.STOPPED
            await led.ended_within(AT_ONCE_S)
            assert [step for step in bench.script.steps[len(steps) :] if step != "close"] == []
            assert all(link.closed == 1 for link in bench.links.links)
            led.node.drain()
            led.node.abort()

    scenario()


@every_phase
@pytest.mark.parametrize("later_s", [0.0, 0.5])
def test_drain_then_abort(phase: Phase, later_s: float) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = bench_for(phase)
        bench.executor.seconds = 1e9
        async with led_node(bench, phase.start_in_s) as led:
            await until(lambda: phase.reached(bench, led))
            led.node.drain()
            await asyncio.sleep(later_s)
            led.node.abort()
            await led.ended_within(AT_ONCE_S)
            assert led.node.life is Life.STOPPED

    scenario()


async def stop_at_event(phase: Phase, number: int, stop: str, within_s: float) -> None:
    bench = bench_for(phase)
    bench.script.plan("poll", job("a"))
    async with led_node(bench, min(phase.start_in_s, 3.0)) as led:
        count = 0

        def listen(_event: Event) -> None:
            nonlocal count
            count += 1
            if count == number:
                getattr(led.node, stop)()

        bench.events.listener = listen
        await asyncio.sleep(400)
        getattr(led.node, stop)()
        await led.ended_within(within_s)
        assert led.node.life is Life.STOPPED
        assert len(bench.events.of(JobClaimed)) == len(bench.events.of(JobEnded))


@every_phase
def test_a_drain_in_the_turn_of_anything_that_happens(phase: Phase) -> None:
    """A listener drains at each event in turn: between any two awaits of the node, and in the midst of its code."""
    for number in range(1, 31):

        @in_virtual_time
        async def scenario(number: int = number) -> None:
            await stop_at_event(phase, number, "drain", DRAIN_S)

        scenario()


@every_phase
def test_an_abort_in_the_turn_of_anything_that_happens(phase: Phase) -> None:
    for number in range(1, 31):

        @in_virtual_time
        async def scenario(number: int = number) -> None:
            await stop_at_event(phase, number, "abort", ABORT_S)

        scenario()


@in_virtual_time
async def test_a_drain_in_a_node_s_first_turn() -> None:
    bench = Bench()
    async with led_node(bench, 1000) as led:
        led.node.drain()
        assert await led.ended_within(DRAIN_S) < AT_ONCE_S
        assert bench.script.log == []


# With jobs.


def with_jobs(*seconds: float, slots: int = 2, stop: StopPolicy | None = None) -> Bench:
    bench = Bench(policy=replace(POLICY, slots=slots), stop_policy=stop or StopPolicy())
    bench.executor.plan(*map(After, seconds))
    bench.script.plan("poll", *jobs("abcdef"[: len(seconds)]))
    return bench


@in_virtual_time
async def test_jobs_that_end_in_time_are_done_and_sent() -> None:
    bench = with_jobs(30, 40)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        assert led.node.presence is Presence.DRAINING
        assert await led.ended_within(DRAIN_S) == pytest.approx(30, abs=0.1)
        assert all(isinstance(finished.outcome, Success) for finished in bench.results.values())
        assert list(bench.results) == ["a", "b"]
        assert bench.events.of(LifeChanged)[-1].input is LifeInput.DRAINED
        assert bench.script.steps[-3:] == ["points", "leave", "close"]


@in_virtual_time
async def test_what_the_last_results_earned_is_told_if_there_is_time() -> None:
    bench = with_jobs(30)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        await led.ended_within(DRAIN_S)
        assert [event.node for event in bench.events.of(PointsChecked)] == [led.node.node_id]


@in_virtual_time
async def test_points_that_never_come_do_not_hold_the_goodbye_up() -> None:
    bench = with_jobs(30)
    bench.script.always["points"] = NEVER
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        assert await led.ended_within(DRAIN_S) <= DRAIN_S
        assert bench.events.of(PointsChecked) == []
        assert bench.script.steps[-2:] == ["leave", "close"]


@in_virtual_time
async def test_jobs_that_do_not_are_answered_with_an_error_that_is_sent() -> None:
    bench = with_jobs(30, 100)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        assert await led.ended_within(DRAIN_S) == pytest.approx(45, abs=0.1)
        outcomes = {name: finished.outcome for name, finished in bench.results.items()}
        assert isinstance(outcomes.pop("a"), Success)  # type: ignore[arg-type]
        assert outcomes == {"b": Failure("the node is stopping", "m")}
        assert bench.events.of(LifeChanged)[-1].input is LifeInput.DEADLINE
        assert bench.script.steps[-2:] == ["leave", "close"]


@in_virtual_time
async def test_results_that_nobody_takes_leave_time_for_the_goodbye() -> None:
    bench = with_jobs(30, 100)
    bench.script.always["result"] = Verdict(Ruling.RETRY, "HTTP 503")
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        assert await led.ended_within(DRAIN_S) == pytest.approx(55, abs=0.1)
        assert bench.script.steps[-2:] == ["leave", "close"]
        assert bench.outbox.count() == 2


@in_virtual_time
async def test_nothing_is_waited_for_once_the_session_is_lost() -> None:
    bench = with_jobs(30, 100)
    bench.script.always["result"] = Verdict(Ruling.RETRY, "HTTP 503")
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        await asyncio.sleep(47)
        assert led.node.life is Life.DRAINING
        bench.links.current.membership.lose("its renewal failed")
        assert await led.ended_within(1) < AT_ONCE_S
        assert "leave" not in bench.script.steps
        assert bench.outbox.count() == 2


@in_virtual_time
async def test_a_session_lost_before_the_jobs_end_does_not_cut_them() -> None:
    bench = with_jobs(30, 40)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        bench.links.current.membership.lose("its renewal failed")
        assert await led.ended_within(DRAIN_S) == pytest.approx(30, abs=0.1)
        assert [event.error for event in bench.events.of(JobEnded)] == ["", ""]
        assert bench.outbox.count() == 2


@pytest.mark.parametrize(("late_s", "outcome"), [(4.0, Success), (4.999, Success), (6.0, None)])
def test_a_poll_under_way_may_still_bring_a_job(late_s: float, outcome: type | None) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.script.plan("poll", None, After(1 + late_s, job("a")))
        async with led_node(bench) as led:
            await until(lambda: bench.script.steps.count("poll") == 2)
            await asyncio.sleep(bench.script.times("poll")[1] + 1 - bench.now)
            led.node.drain()
            await led.ended_within(DRAIN_S)
            assert [type(finished.outcome) for finished in bench.results.values()] == ([outcome] if outcome else [])
            assert bench.script.steps[-2:] == ["leave", "close"]
            assert bench.script.steps.count("poll") == 2

    scenario()


@pytest.mark.parametrize("stop", ["drain", "abort"])
@pytest.mark.parametrize("before", [True, False])
def test_a_stop_in_the_very_turn_of_a_poll_s_reply(stop: str, before: bool) -> None:
    """Either the job is the node's, and is answered, or the node never had it, and gives its lease back by leaving."""

    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(stop_policy=replace(StopPolicy(), poll_grace_s=0))
        loop = asyncio.get_running_loop()
        bench.script.plan("poll", After(20, job("a")))
        async with led_node(bench) as led:
            if before:
                loop.call_at(loop.time() + 20, getattr(led.node, stop))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert "poll" in bench.script.steps
            if not before:
                loop.call_at(loop.time() + 20, getattr(led.node, stop))
            await led.ended_within(20 + DRAIN_S)
            claimed = bench.events.of(JobClaimed)
            assert len(bench.events.of(JobEnded)) == len(claimed) == len(bench.events.of(PollEnded))
            assert ("leave" in bench.script.steps) == (stop == "drain")

    scenario()


@in_virtual_time
async def test_a_drain_in_recovery_finishes_the_open_jobs_and_keeps_their_results() -> None:
    bench = with_jobs(40, 100, slots=3)
    bench.script.plan("poll", StepFault("HTTP 302"))
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        assert (led.node.life, led.node.busy_slots) == (Life.RECOVERING, 2)
        led.node.drain()
        assert led.node.life is Life.STOPPED
        assert await led.ended_within(DRAIN_S) == pytest.approx(45, abs=0.1)
        assert [event.error for event in bench.events.of(JobEnded)] == ["", "the node is stopping"]
        assert bench.outbox.count() == 2


@in_virtual_time
async def test_the_open_jobs_of_a_failed_node_run_on_until_it_is_told_to_stop() -> None:
    bench = with_jobs(200, 200, slots=3)
    bench.policy = replace(bench.policy, recovery=Range(1, 1))
    bench.script.plan("poll", StepFault("HTTP 302"))
    async with led_node(bench) as led:
        await asyncio.sleep(0.5)
        bench.script.always["secret"] = IdentityRefused("denied")
        await until(lambda: led.node.life is Life.FAILED)
        await asyncio.sleep(50)
        assert led.node.busy_slots == 2
        led.node.drain()
        assert await led.ended_within(DRAIN_S) == pytest.approx(45, abs=0.5)
        assert led.node.life is Life.FAILED
        assert bench.outbox.count() == 2


@in_virtual_time
async def test_an_abort_answers_all_jobs_into_the_outbox() -> None:
    bench = with_jobs(100, 100)
    bench.outbox.put_s = 1
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.abort()
        assert await led.ended_within(ABORT_S) == pytest.approx(1, abs=0.1)
        assert [event.error for event in bench.events.of(JobEnded)] == ["the node was stopped"] * 2
        assert bench.outbox.count() == 2
        assert "leave" not in bench.script.steps


@in_virtual_time
async def test_an_abort_cuts_a_drain_short() -> None:
    bench = with_jobs(100, 100)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.drain()
        await asyncio.sleep(20)
        led.node.abort()
        assert await led.ended_within(ABORT_S) < AT_ONCE_S
        assert [event.error for event in bench.events.of(JobEnded)] == ["the node was stopped"] * 2
        assert bench.outbox.count() + len(bench.results) == 2


@pytest.mark.parametrize("stop", ["drain", "abort"])
def test_a_disk_that_takes_nothing_does_not_hold_the_end_up(stop: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = with_jobs(1, 100)
        bench.outbox.failing = StorageUnavailable("no space left")
        async with led_node(bench) as led:
            await asyncio.sleep(10)
            getattr(led.node, stop)()
            await led.ended_within(DRAIN_S if stop == "drain" else ABORT_S)
            assert bench.events.of(ResultLost) == [], "the sender still tries"
        assert sorted(event.key.job for event in bench.events.of(ResultLost)) == ["a", "b"]

    scenario()


@pytest.mark.parametrize("drain_s", [0.0, 0.5, 4.0, 20.0])
def test_every_drain_keeps_to_its_time(drain_s: float) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = with_jobs(1e6, 1e6, slots=3, stop=replace(StopPolicy(), drain_s=drain_s))
        bench.policy = replace(bench.policy, job_deadline_s=1e6)
        bench.script.plan("poll", NEVER)
        bench.script.always["result"] = NEVER
        bench.script.always["leave"] = NEVER
        async with led_node(bench) as led:
            await asyncio.sleep(10)
            led.node.drain()
            await led.ended_within(drain_s + AT_ONCE_S)
            assert [event.error for event in bench.events.of(JobEnded)] == ["the node is stopping"] * 2

    scenario()


@in_virtual_time
async def test_a_goodbye_after_a_fault_keeps_to_the_time_of_a_drain_too() -> None:
    bench = with_jobs(100, slots=2, stop=replace(StopPolicy(), drain_s=4))
    bench.script.plan("poll", StepFault("HTTP 302"))
    bench.script.plan("leave", NEVER)
    async with led_node(bench) as led:
        await until(lambda: "leave" in bench.script.steps)
        led.node.drain()
        await led.ended_within(4)
        assert [event.error for event in bench.events.of(JobEnded)] == ["the node is stopping"]


@in_virtual_time
async def test_a_drain_leaves_no_hold_in_doubt() -> None:
    bench = Bench()
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.node.pause()
        led.node.drain()
        assert bench.events.of(HoldsChanged)[-1].holds == Hold.PAUSED | Hold.DRAINING
        await led.ended_within(DRAIN_S)


@in_virtual_time
async def test_a_cancellation_of_its_owner_aborts_the_node() -> None:
    bench = with_jobs(100, 100)
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        led.task.cancel()
        await asyncio.wait([led.task], timeout=ABORT_S)
        assert led.task.cancelled()
        assert led.node.life is Life.STOPPED
        assert bench.outbox.count() == 2
        assert bench.links.current.closed == 1


@pytest.mark.parametrize("event_kind", [PollStarted, PollEnded, PointsChecked, JobClaimed, JobEnded])
def test_whoever_listens_may_stop_the_node(event_kind: type) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = with_jobs(20)
        bench.policy = replace(bench.policy, points_check_s=30)
        async with led_node(bench) as led:

            def listen(event: Event) -> None:
                if isinstance(event, event_kind):
                    led.node.drain()
                    led.node.abort()

            bench.events.listener = listen
            await led.ended_within(40)
            task = asyncio.current_task()
            assert task is not None
            assert not task.cancelling()
            assert len(bench.events.of(JobClaimed)) == len(bench.events.of(JobEnded))

    scenario()


def test_the_time_of_a_stop_is_shared_out_in_order() -> None:
    for drain_s in (0.0, 1.0, 30.0, 60.0, 600.0):
        times = drain_times(1000, StopPolicy(drain_s=drain_s))
        assert 1000 <= times.jobs <= times.kept <= times.sent <= times.left <= 1000 + drain_s
    assert drain_times(0, StopPolicy()).jobs == 45
    times = abort_times(1000, StopPolicy())
    assert times.jobs == times.left == 1000
    assert times.kept == 1002


@pytest.mark.parametrize("stop", ["drain", "abort"])
def test_a_stop_in_any_turn_of_the_loop(stop: str) -> None:
    """A life with something of everything, stopped in its first turn, its second, and so on to its last."""
    turns = 0
    at = 0
    while at <= turns:
        at += 1

        @in_virtual_time
        async def scenario(at: int = at) -> None:
            nonlocal turns
            bench = Bench(policy=replace(POLICY, slots=2, points_check_s=20, recovery=Range(5, 5)))
            script = bench.script
            for step in ("secret", "identity", "register", "models", "points", "result", "leave", "close"):
                script.always[step] = After(0.25)
            script.always["poll"] = After(0.25)
            script.plan("poll", After(0.25, job("a")), After(0.25, job("b")), After(0.25, TryLater("HTTP 503")))
            script.plan("poll", *[After(0.25)] * 3, SessionLost("lost"), After(0.25, job("c")), StepFault("HTTP 302"))
            script.plan("result", After(0.25, Verdict(Ruling.RETRY, "HTTP 503")))
            bench.executor.plan(After(3), After(3, EngineFailed("broke off")))
            bench.executor.seconds = 8
            bench.outbox.put_s = 0.125
            bench.outbox.failures.append(StorageUnavailable("no space left"))
            async with led_node(bench, 1) as led:
                turn = 0
                loop = asyncio.get_running_loop()
                run_once = loop._run_once  # type: ignore[attr-defined]

                def counted() -> None:
                    nonlocal turn
                    turn += 1
                    if turn == at:
                        loop.call_soon(getattr(led.node, stop))
                    run_once()

                loop._run_once = counted  # type: ignore[attr-defined]
                await asyncio.sleep(60)
                if turn < at:
                    assert Life.RECOVERING in bench.lives()
                    assert bench.lives().count(Life.RUNNING) == 3
                    getattr(led.node, stop)()
                turns = max(turns, turn)
                await led.ended_within(DRAIN_S if stop == "drain" else ABORT_S)
                claimed = [event.key for event in bench.events.of(JobClaimed)]
                assert sorted(claimed) == sorted(event.key for event in bench.events.of(JobEnded))
                assert len(bench.results) + bench.outbox.count() == len(claimed)
                assert all(link.closed == 1 for link in bench.links.links)

        scenario()
    assert turns > 100


def test_stops_on_uvloop_too() -> None:
    """Whose handles know less: in real time, therefore short."""

    async def scenario() -> None:
        bench = with_jobs(100, 100)
        async with led_node(bench) as led:
            await wait_until(lambda: led.node.busy_slots == 2)
            led.node.drain()
            await asyncio.sleep(0.001)
            led.node.abort()
            await led.ended_within(ABORT_S)
            assert [event.error for event in bench.events.of(JobEnded)] == ["the node was stopped"] * 2

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
