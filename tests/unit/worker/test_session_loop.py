"""The loop of a session: when it polls and when not, slots, holds, back-off, and the periodic checks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.domain.errors import StepFailed, StepFault, StepRefused, TryLater
from node.domain.events import (
    HoldsChanged,
    JobClaimed,
    JobEnded,
    LifeChanged,
    ModelsAnnounced,
    Notice,
    PointsChecked,
    PollEnded,
    PollFailed,
    PollStarted,
)
from node.domain.policies import BackOff, Range
from node.domain.presence import Presence
from node.domain.states import Hold, Life
from node.ports.outbox import Keeping
from tests.support.bench import POLICY, Bench, LedNode, job, jobs, led_node, malformed, until
from tests.support.script import NEVER, After, ChangingOffer, ScriptedExecutor, SwitchedGate
from tests.support.virtual_time import VirtualClock, in_virtual_time


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@in_virtual_time
async def test_an_idle_node_keeps_its_cycle_with_jitter() -> None:
    bench = Bench()
    async with led_node(bench) as led:
        await asyncio.sleep(1000)
        between = gaps(bench.script.times("poll"))
        assert len(between) == pytest.approx(200, abs=5)
        assert all(4.5 <= gap <= 5.5 for gap in between)
        assert max(between) > 5.3
        assert min(between) < 4.7
        assert all(event.lateness_s == pytest.approx(0, abs=1e-6) for event in bench.events.of(PollStarted))
        assert led.node.presence is Presence.IDLE


class CoarseClock(VirtualClock):
    """Knows whole milliseconds only, as uvloop's does: by it a wait may end before its time."""

    def monotonic(self) -> float:
        return int(super().monotonic() * 1000) / 1000


class CountedGate(SwitchedGate):
    """Counts how often it is looked at: once in each turn of a session's loop, and once by the source at each poll."""

    looks = 0

    @property
    def closed_because(self) -> str:
        self.looks += 1
        return ""

    @closed_because.setter
    def closed_because(self, reason: str) -> None:
        pass


@in_virtual_time
async def test_a_coarse_clock_does_not_have_a_node_turn_in_circles() -> None:
    gate = CountedGate()
    bench = Bench(gates=(gate,))
    bench.clock = CoarseClock()
    async with led_node(bench):
        await asyncio.sleep(1000)
        polls = len(bench.script.times("poll"))
        assert polls == pytest.approx(200, abs=5)
        assert gate.looks <= 3 * polls + 3


@in_virtual_time
async def test_a_slow_answer_counts_towards_the_cycle() -> None:
    bench = Bench()
    bench.script.always["poll"] = After(4)
    async with led_node(bench):
        await asyncio.sleep(100)
        assert all(4.5 <= gap <= 5.5 for gap in gaps(bench.script.times("poll")))
        bench.script.always["poll"] = After(20)
        await asyncio.sleep(200)
        assert gaps(bench.script.times("poll"))[-1] == pytest.approx(20)


@in_virtual_time
async def test_after_a_job_it_polls_again_at_once() -> None:
    bench = Bench()
    bench.script.plan("poll", *jobs("abc"))
    async with led_node(bench):
        await asyncio.sleep(3.5)
        assert bench.script.times("poll") == pytest.approx([0, 1, 2, 3])
        assert [event.job for event in bench.events.of(PollEnded)] == ["a", "b", "c", None]
        # The slot was taken meanwhile: no poll is late for that.
        assert [event.lateness_s for event in bench.events.of(PollStarted)] == pytest.approx([0] * 4, abs=1e-6)


@in_virtual_time
async def test_after_a_burst_others_have_a_turn() -> None:
    bench = Bench(policy=replace(POLICY, slots=100, burst=3))
    bench.script.plan("poll", *jobs("abcdefg"))
    async with led_node(bench):
        await asyncio.sleep(30)
    waits = gaps(bench.script.times("poll"))[:8]
    assert [wait > 0.1 for wait in waits] == [False, False, True, False, False, True, False, True]
    assert max(waits[2], waits[5]) < 0.25


@in_virtual_time
async def test_n_slots_run_n_jobs_and_a_full_node_does_not_poll() -> None:
    bench = Bench(policy=replace(POLICY, slots=3))
    bench.executor.seconds = 100
    bench.script.plan("poll", *jobs("abcdefg"))
    async with led_node(bench) as led:
        await asyncio.sleep(99)
        assert bench.script.times("poll") == [0, 0, 0]
        assert (bench.executor.running, led.node.busy_slots) == (3, 3)
        assert led.node.presence is Presence.PROCESSING
        assert bench.events.of(HoldsChanged)[-1].holds is Hold.NO_SLOT
        await asyncio.sleep(250)
        assert bench.executor.peak == 3
        assert len(bench.results) == 7
        assert all(event.lateness_s == pytest.approx(0, abs=1e-6) for event in bench.events.of(PollStarted))


@in_virtual_time
async def test_a_freed_slot_is_used_at_once() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.executor.plan(After(10), After(13), After(100))
    bench.script.plan("poll", *jobs("ab"))
    async with led_node(bench):
        await asyncio.sleep(9)
        bench.script.plan("poll", job("c"))
        await asyncio.sleep(100)
        assert bench.script.times("poll")[:4] == pytest.approx([0, 0, 10, 13])


@in_virtual_time
async def test_a_failed_poll_backs_off_and_the_node_stays_in_session() -> None:
    bench = Bench()
    bench.script.plan("poll", *[TryLater("HTTP 503")] * 4)
    async with led_node(bench) as led:
        await until(lambda: bench.script.steps.count("poll") == 5)
        assert bench.lives() == [Life.STARTING, Life.RUNNING]
        waits = [event.retry_in_s for event in bench.events.of(PollFailed)]
        assert gaps(bench.script.times("poll")) == pytest.approx(waits)
        assert all(4.5 <= wait <= max(5.5, ceiling) for wait, ceiling in zip(waits, [1, 2, 4, 8], strict=True))
        held = [event.holds for event in bench.events.of(HoldsChanged)]
        assert Hold.BACK_OFF in held
        assert held[-1] is Hold.NOTHING
        assert led.node.presence is Presence.IDLE
        bench.script.plan("poll", *[TryLater("HTTP 503")] * 4)
        await asyncio.sleep(100)
        assert led.node.life is Life.RUNNING, "a good poll ends the row"


@in_virtual_time
async def test_a_gateway_in_trouble_hears_no_more_than_one_that_is_well() -> None:
    bench = Bench(policy=replace(POLICY, poll_failures=1000, back_off=BackOff(base_s=0.1, cap_s=100)))
    bench.script.always["poll"] = TryLater("HTTP 503")
    async with led_node(bench):
        await asyncio.sleep(100_000)
    waits = gaps(bench.script.times("poll"))
    assert min(waits) >= 4.5
    backed_off = waits[10:]
    assert max(backed_off) > 95
    assert sum(backed_off) / len(backed_off) == pytest.approx(50, rel=0.1), "full jitter beyond the cycle"


@in_virtual_time
async def test_retry_after_is_honoured() -> None:
    bench = Bench()
    bench.script.plan("poll", TryLater("HTTP 429", 40), TryLater("HTTP 429", 1e6))
    async with led_node(bench) as led:
        await asyncio.sleep(20)
        assert led.node.presence is Presence.BACKING_OFF
        await asyncio.sleep(300)
        first, second = gaps(bench.script.times("poll"))[:2]
        assert 40 <= first <= 41
        assert 80 <= second <= 82, "ten times the cap at most: the other side may be wrong"


@in_virtual_time
async def test_too_many_failures_in_a_row_are_a_fault() -> None:
    bench = Bench()
    bench.script.plan("poll", None, *[TryLater("HTTP 503")] * 5)
    async with led_node(bench):
        await until(lambda: Life.RECOVERING in bench.lives())
        assert "5 polls in a row failed, the last one: HTTP 503" in bench.events.of(LifeChanged)[-1].reason
        assert [event.reason for event in bench.events.of(PollFailed)] == ["HTTP 503"] * 5
        assert bench.events.of(PollFailed)[-1].retry_in_s == 0.0
        assert bench.script.steps[-2:] == ["leave", "close"]
        assert bench.events.of(HoldsChanged)[-1].holds is Hold.NOTHING
        polls = bench.script.steps.count("poll")
        await until(lambda: bench.script.steps.count("poll") > polls)


@pytest.mark.parametrize("error", [StepFault("HTTP 302"), StepRefused("HTTP 418")])
def test_an_answer_that_ends_the_session_is_a_fault(error: StepFailed) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.script.plan("poll", error)
        async with led_node(bench):
            await asyncio.sleep(1)
            assert bench.lives()[-1] is Life.RECOVERING
            assert bench.script.steps[-2:] == ["leave", "close"]

    scenario()


@in_virtual_time
async def test_pause_and_resume() -> None:
    bench = Bench()
    bench.executor.seconds = 12
    bench.script.plan("poll", None, job("a"))
    async with led_node(bench) as led:
        await asyncio.sleep(7)
        led.node.pause()
        await asyncio.sleep(100)
        assert bench.script.steps.count("poll") == 2
        assert "a" in bench.results, "open jobs go on"
        assert led.node.presence is Presence.PAUSED
        led.node.resume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert bench.script.steps.count("poll") == 3
        assert bench.events.of(PollStarted)[-1].lateness_s == pytest.approx(0, abs=1e-6)


@in_virtual_time
async def test_it_claims_nothing_while_the_disk_takes_nothing() -> None:
    bench = Bench()
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        bench.outbox.is_open = False
        await asyncio.sleep(100)
        assert bench.script.steps.count("poll") == 1
        assert bench.events.of(HoldsChanged)[-1].holds is Hold.DISK
        assert led.node.presence is Presence.PAUSED
        bench.outbox.is_open = True
        await asyncio.sleep(6)
        assert bench.script.steps.count("poll") >= 2


@in_virtual_time
async def test_all_claim_gates_must_be_open() -> None:
    gates = SwitchedGate(), SwitchedGate(closed_because="no engine"), SwitchedGate()
    bench = Bench(gates=gates)
    async with led_node(bench):
        await asyncio.sleep(30)
        assert "poll" not in bench.script.steps
        assert [event.holds for event in bench.events.of(HoldsChanged)] == [Hold.ENGINE]
        gates[2].closed_because = "another engine is missing, too"
        gates[1].closed_because = ""
        await asyncio.sleep(30)
        assert "poll" not in bench.script.steps
        gates[2].closed_because = ""
        await asyncio.sleep(6)
        assert "poll" in bench.script.steps


@in_virtual_time
async def test_all_reasons_are_told() -> None:
    gate = SwitchedGate()
    bench = Bench(gates=(gate,))
    bench.executor.seconds = 100
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        gate.closed_because = "no engine"
        bench.outbox.is_open = False
        led.node.pause()
        await asyncio.sleep(10)
        assert bench.events.of(HoldsChanged)[-1].holds == Hold.NO_SLOT | Hold.ENGINE | Hold.DISK | Hold.PAUSED


@in_virtual_time
async def test_a_node_on_hold_still_makes_its_checks() -> None:
    bench = Bench(policy=replace(POLICY, points_check_s=60))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.pause()
        await asyncio.sleep(600)
        assert bench.script.steps.count("points") == 10
        assert bench.script.steps.count("poll") == 1


@in_virtual_time
async def test_a_job_that_comes_again_is_not_run_again_and_sets_no_pace() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.executor.seconds = 30
    bench.script.always["poll"] = job("a")
    async with led_node(bench):
        await asyncio.sleep(100)
        assert len(bench.executor.seen) == 1
        assert len(bench.events.of(JobClaimed)) == 1
        assert len(bench.script.times("poll")) == pytest.approx(21, abs=2)
        assert bench.sender.keeping(bench.events.of(JobClaimed)[0].key) is Keeping.ACCEPTED


@in_virtual_time
async def test_malformed_jobs_are_answered_and_polled_past() -> None:
    bench = Bench()
    bench.script.plan("poll", malformed("a"), malformed("b"), job("c"))
    async with led_node(bench):
        await asyncio.sleep(2)
        assert list(bench.results) == ["a", "b", "c"]
        assert [event.error for event in bench.events.of(JobEnded)] == ["the job has no messages"] * 2 + [""]


@in_virtual_time
async def test_models_and_points_are_checked_at_their_intervals() -> None:
    bench = Bench(policy=replace(POLICY, models_update=Range(100, 300), points_check_s=50))
    async with led_node(bench):
        await asyncio.sleep(3010)
        between = gaps(bench.script.times("models"))
        assert all(100 <= gap <= 300 for gap in between)
        assert len({round(gap) for gap in between}) > 5, "drawn anew each time"
        assert gaps(bench.script.times("points")) == pytest.approx([50] * 59)
        assert len(bench.events.of(PointsChecked)) == 60
        assert len(bench.events.of(ModelsAnnounced)) == len(between) + 1


@in_virtual_time
async def test_models_are_told_at_once_when_they_change() -> None:
    offer = ChangingOffer("a", "b")
    bench = Bench(offer=offer)
    async with led_node(bench) as led:
        await until(lambda: led.node.life is Life.RUNNING)
        await asyncio.sleep(11)
        assert [event.models for event in bench.events.of(ModelsAnnounced)] == [("a", "b")]
        changed_at = bench.now
        offer.change("a")
        await asyncio.sleep(1)
        assert [event.models for event in bench.events.of(ModelsAnnounced)] == [("a", "b"), ("a",)]
        assert bench.script.times("models")[-1] == pytest.approx(changed_at, abs=0.01)
        offer.change("a")
        await asyncio.sleep(30)
        assert bench.script.steps.count("models") == 2
    assert offer.calls == [], "nobody listens who is not in session"


@in_virtual_time
async def test_a_change_while_the_models_are_told_is_told_too() -> None:
    offer = ChangingOffer("a")
    bench = Bench(offer=offer)
    bench.script.plan("models", After(5))
    async with led_node(bench):
        await until(lambda: "models" in bench.script.steps)
        offer.change("b")
        await asyncio.sleep(10)
        assert [event.models for event in bench.events.of(ModelsAnnounced)] == [("a",), ("b",)]


@in_virtual_time
async def test_points_that_are_not_told_end_no_session() -> None:
    bench = Bench(policy=replace(POLICY, points_check_s=50))
    bench.script.always["points"] = StepRefused("HTTP 404")
    async with led_node(bench):
        await asyncio.sleep(220)
        assert bench.lives() == [Life.STARTING, Life.RUNNING]
        assert [event.text for event in bench.events.of(Notice)] == ["points are not told: HTTP 404"] * 4


@pytest.mark.parametrize("step", ["points", "models"])
def test_a_failed_check_is_a_fault(step: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(policy=replace(POLICY, points_check_s=500, models_update=Range(500, 500)))
        async with led_node(bench) as led:
            await asyncio.sleep(400)
            bench.script.plan(step, StepFault("HTTP 500 (tried 5 times)"))
            await until(lambda: led.node.life is Life.RECOVERING, within_s=101)
            assert bench.script.steps[-2:] == ["leave", "close"]

    scenario()


@in_virtual_time
async def test_a_session_lost_while_a_job_runs_costs_nothing() -> None:
    bench = Bench()
    bench.executor.seconds = 30
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        bench.links.current.membership.lose("forgotten")
        await asyncio.sleep(1)
        assert (led.node.life, led.node.busy_slots) == (Life.RUNNING, 1)
        assert bench.script.steps.count("poll") == 1, "the slot is still in use"
        await asyncio.sleep(30)
        assert list(bench.results) == ["a"]


@in_virtual_time
async def test_open_jobs_run_on_in_recovery_and_their_results_are_sent_after_it() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.executor = ScriptedExecutor(30)
    bench.script.plan("poll", job("a"), StepFault("HTTP 302"))
    async with led_node(bench) as led:
        await asyncio.sleep(10)
        assert (led.node.life, led.node.busy_slots) == (Life.RECOVERING, 1)
        assert led.node.presence is Presence.ERROR
        await asyncio.sleep(30)
        assert led.node.busy_slots == 0
        assert not bench.results
        await until(lambda: led.node.life is Life.RUNNING)
        await asyncio.sleep(1)
        assert list(bench.results) == ["a"]


@in_virtual_time
async def test_what_a_poll_is_doing_can_be_seen() -> None:
    bench = Bench()
    bench.script.always["poll"] = NEVER
    async with led_node(bench, start_in_s=10) as led:
        assert led.node.presence is Presence.INITIALIZING
        assert repr(led.node) == "<WorkerNode n1 initializing>"
        bench.script.plan("secret", After(5))
        await asyncio.sleep(12)
        assert led.node.presence is Presence.REGISTERING
        await asyncio.sleep(12)
        assert led.node.presence is Presence.CHECKING


RENEWAL = "poll's wait for a renewal"


def put_drain(bench: Bench, led: LedNode) -> None:
    led.node.drain()


def put_pause(bench: Bench, led: LedNode) -> None:
    led.node.pause()


def fill_disk(bench: Bench, led: LedNode) -> None:
    bench.outbox.is_open = False


def close_gate(bench: Bench, led: LedNode) -> None:
    bench.gates[0].closed_because = "no engine"


@pytest.mark.parametrize("close", [put_drain, put_pause, fill_disk, close_gate])
def test_a_poll_that_waited_for_a_renewal_is_not_sent_when_the_gate_has_closed(
    close: Callable[[Bench, LedNode], None],
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(gates=(SwitchedGate(),))
        bench.script.plan(RENEWAL, After(3))
        async with led_node(bench) as led:
            await until(lambda: RENEWAL in bench.script.steps)
            close(bench, led)
            await asyncio.sleep(4)
            assert bench.script.times("poll") == []
            assert led.node.life is not Life.RECOVERING

    scenario()


@in_virtual_time
async def test_a_poll_that_was_withdrawn_is_sent_when_the_gate_opens() -> None:
    bench = Bench()
    bench.script.plan(RENEWAL, After(3))
    async with led_node(bench):
        await until(lambda: RENEWAL in bench.script.steps)
        bench.outbox.is_open = False
        await asyncio.sleep(60)
        bench.outbox.is_open = True
        await asyncio.sleep(POLICY.poll_cycle_s + 1)
        assert bench.script.times("poll")
        assert len(bench.events.of(PollFailed)) == 1
