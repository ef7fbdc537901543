"""What a node tells of itself, to listeners and to its proxy pool, and what its owner reads off it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.domain.errors import ProxyFailed, SessionLost, StepFault, StorageUnavailable, TryLater
from node.domain.events import (
    Crash,
    HoldsChanged,
    LifeChanged,
    ModelsAnnounced,
    Notice,
    PollEnded,
    PollFailed,
    PollStarted,
    ResultDelayed,
)
from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.jobs import Job
from node.domain.policies import StopPolicy
from node.domain.proxies import ProxyAddress
from node.domain.states import Hold, Life, LifeInput
from node.worker.holds import Holds
from node.worker.startup import proxy_fault
from node.worker.stopping import StopTimes, drain_times
from tests.support.bench import POLICY, Bench, job, led_node, spec, until
from tests.support.events import RecordingSink
from tests.support.script import (
    NEVER,
    After,
    Script,
    ScriptedLink,
    ScriptedLinks,
    ScriptedPool,
    ScriptedSource,
    SwitchedGate,
)
from tests.support.virtual_time import VirtualClock, in_virtual_time

NODE = NodeId("n1")


class DefectiveSource(ScriptedSource):
    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        raise ZeroDivisionError("planted")


@in_virtual_time
async def test_a_defect_in_session_leads_to_recovery() -> None:
    bench = Bench()
    opened = bench.links.open

    def open_with_defect(*arguments: object) -> ScriptedLink:
        link = opened(*arguments)
        link.source = DefectiveSource(bench.script, link.membership, bench.results)
        return link

    bench.links.open = open_with_defect
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        assert bench.events.of(LifeChanged)[-1] == (
            *(NODE, Life.RUNNING, LifeInput.FAULT, Life.RECOVERING, "a defect of the program"),
        )
        assert led.node.life is Life.RECOVERING
    assert len(bench.events.of(Crash)) == 1


@in_virtual_time
async def test_a_defect_in_a_drain_ends_it() -> None:
    bench = Bench()

    async def flushed(node: NodeId, timeout_s: float) -> bool:
        raise ZeroDivisionError("planted")

    bench.sender.flushed = flushed
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.drain()
        await led.ended_within(10)
        assert bench.events.of(LifeChanged)[-1] == (
            *(NODE, Life.DRAINING, LifeInput.DEADLINE, Life.STOPPED, "a defect of the program"),
        )
        led.node.crashed()
        assert led.node.life is Life.STOPPED


@in_virtual_time
async def test_a_session_that_is_lost_while_the_points_are_told_does_not_spoil_a_drain() -> None:
    bench = Bench()
    bench.script.plan("points", SessionLost("HTTP 400"))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.drain()
        await led.ended_within(10)
        assert bench.events.of(LifeChanged)[-1].input is LifeInput.DRAINED
        assert bench.events.of(Crash) == []


@in_virtual_time
async def test_a_session_that_was_never_good_is_a_fault_with_its_reason() -> None:
    bench = Bench()
    bench.script.plan("poll", SessionLost("HTTP 400"))
    async with led_node(bench):
        await asyncio.sleep(1)
        assert bench.events.of(LifeChanged)[-1] == (
            *(NODE, Life.RUNNING, LifeInput.FAULT, Life.RECOVERING),
            "the new session was lost before its first poll: HTTP 400",
        )


class ToldPool(ScriptedPool):
    """Remembers who reported as well."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[NodeId, bool, str]] = []
        self.leased: list[NodeId] = []
        self.asked_for: list[ProxyAddress | None] = []

    async def lease(self, node: NodeId, own: ProxyAddress | None) -> ProxyAddress | None:
        self.leased.append(node)
        self.asked_for.append(own)
        return own

    def report(self, node: NodeId, *, ok: bool, reason: str = "") -> None:
        self.told.append((node, ok, reason))


@in_virtual_time
async def test_a_proxy_is_reported_by_the_node_that_uses_it() -> None:
    bench = Bench()
    bench.proxies = ToldPool()
    fault = StepFault("5 polls in a row failed")
    fault.__cause__ = ProxyFailed("it refuses connections")
    bench.script.plan("poll", None, fault)
    async with led_node(bench):
        await asyncio.sleep(20)
        assert bench.proxies.told == [(NODE, True, ""), (NODE, False, "it refuses connections")]
        assert bench.proxies.leased == [NODE]


def test_the_fault_of_a_proxy_has_words() -> None:
    fault = StepFault("no")
    assert proxy_fault(fault) == ""
    fault.__cause__ = ProxyFailed("")
    assert proxy_fault(fault) == "it failed"


@in_virtual_time
async def test_a_failed_poll_is_told_with_its_time_and_reason() -> None:
    bench = Bench()
    bench.script.plan("poll", After(2.0, TryLater("HTTP 503")))
    async with led_node(bench):
        await asyncio.sleep(3)
        (failed,) = bench.events.of(PollFailed)
        assert (failed.node, failed.took_s, failed.reason) == (NODE, pytest.approx(2.0), "HTTP 503")
        assert bench.events.of(PollStarted)[0].node == NODE


@in_virtual_time
async def test_a_job_that_ends_out_of_session_frees_its_slot() -> None:
    bench = Bench()
    bench.executor.plan(After(50))
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await until(lambda: led.node.busy_slots)
        await asyncio.sleep(1)
        assert Hold.NO_SLOT in bench.events.of(HoldsChanged)[-1].holds
        bench.links.current.membership.lose("HTTP 400")
        bench.script.plan("secret", StepFault("HTTP 500"))
        await until(lambda: led.node.life is Life.RECOVERING)
        await until(lambda: not led.node.busy_slots)
        assert led.node.life is Life.RECOVERING
        assert bench.events.of(HoldsChanged)[-1].holds is Hold.NOTHING


def test_how_a_drain_shares_out_its_time() -> None:
    assert drain_times(100.0, StopPolicy(drain_s=60)) == StopTimes(jobs=145, kept=150, sent=155, left=157)
    assert drain_times(0.0, StopPolicy(drain_s=30)) == StopTimes(jobs=22.5, kept=25, sent=27.5, left=28.5)


@in_virtual_time
async def test_an_answered_poll_is_told_with_its_time_and_job() -> None:
    bench = Bench()
    bench.script.plan("poll", After(2.0, job("a")), After(3.0))
    async with led_node(bench):
        await asyncio.sleep(10)
        ended = bench.events.of(PollEnded)
        assert ended[:2] == [(NODE, pytest.approx(2.0), "a"), (NODE, pytest.approx(3.0), None)]


@in_virtual_time
async def test_all_reasons_not_to_claim_are_told_together() -> None:
    bench = Bench(gates=(gate := SwitchedGate(),))
    bench.script.plan("poll", After(2.0, TryLater("HTTP 503", 60)))
    async with led_node(bench):
        await asyncio.sleep(1)
        gate.closed_because = "no engine"
        await asyncio.sleep(2)
        assert bench.events.of(HoldsChanged)[-1] == (NODE, Hold.BACK_OFF | Hold.ENGINE)


class ToldLinks(ScriptedLinks):
    """Remembers for whom links were opened, and what models were announced on them."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.specs: list[NodeSpec] = []
        self.announced: list[tuple[str, ...]] = []

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> ScriptedLink:
        self.specs.append(spec)
        link = super().open(spec, proxy, on_lost)
        announce = link.membership.announce

        async def announce_and_tell(models: tuple[str, ...]) -> None:
            self.announced.append(models)
            await announce(models)

        link.membership.announce = announce_and_tell
        return link


@in_virtual_time
async def test_a_node_starts_as_itself() -> None:
    bench = Bench()
    bench.links = ToldLinks(bench.script)
    me = spec("n1", models=("a", "b"))
    async with led_node(bench, spec_=me):
        await asyncio.sleep(1)
        assert bench.links.specs == [me]
        assert bench.links.announced == [("a", "b")]
        assert bench.events.of(ModelsAnnounced) == [(NODE, ("a", "b"))]


@in_virtual_time
async def test_a_nodes_own_proxy_is_asked_for() -> None:
    bench = Bench()
    bench.proxies = ToldPool()
    own = ProxyAddress.parse("http://127.0.0.1:3128")
    async with led_node(bench, spec_=replace(spec("n1"), proxy=own)):
        await asyncio.sleep(1)
        assert bench.proxies.asked_for == [own]


@in_virtual_time
async def test_connections_that_do_not_close_are_told_of() -> None:
    bench = Bench()
    bench.script.plan("close", NEVER)
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.drain()
        await led.ended_within(10)
        assert bench.events.of(Notice) == [Notice("worker", "its connections were not closed within 2 s", NODE)]


@in_virtual_time
async def test_each_step_of_a_life_is_told() -> None:
    bench = Bench()
    async with led_node(bench):
        await asyncio.sleep(1)
        assert bench.events.of(LifeChanged) == [
            (NODE, Life.NEW, LifeInput.START, Life.STARTING, ""),
            (NODE, Life.STARTING, LifeInput.READY, Life.RUNNING, ""),
        ]


# The edges of a stop's times.


@in_virtual_time
async def test_a_short_drain_still_says_goodbye() -> None:
    bench = Bench(stop_policy=StopPolicy(drain_s=1))
    async with led_node(bench) as led:
        await asyncio.sleep(1)
        led.node.drain()
        await led.ended_within(1)
        assert "leave" in bench.script.steps


@in_virtual_time
async def test_jobs_have_the_whole_of_their_part_of_a_drain() -> None:
    bench = Bench(stop_policy=StopPolicy(drain_s=60))
    bench.executor.plan(After(46))
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await until(lambda: led.node.busy_slots)
        await asyncio.sleep(1.5)
        led.node.drain()
        await led.ended_within(60)
        assert bench.events.of(LifeChanged)[-1].input is LifeInput.DRAINED


@in_virtual_time
async def test_a_second_abort_gives_no_more_time() -> None:
    bench = Bench(stop_policy=StopPolicy(abort_s=5))
    bench.executor.plan(After(1000))
    bench.script.plan("poll", job("a"))
    async with led_node(bench) as led:
        await until(lambda: led.node.busy_slots)
        bench.outbox.failing = StorageUnavailable("disk full")
        began = bench.now
        led.node.abort()
        await asyncio.sleep(1.9)
        led.node.abort()
        await led.ended_within(10)
        assert bench.now - began <= 3.5


@in_virtual_time
async def test_a_result_that_comes_in_the_midst_of_a_goodbye_waits_for_the_next_session() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.executor.plan(After(12))
    bench.script.plan("poll", job("a"), After(5, StepFault("HTTP 302")))
    bench.script.plan("leave", After(9))
    async with led_node(bench) as led:
        await until(lambda: "leave" in bench.script.steps)
        await until(lambda: not led.node.busy_slots)
        await asyncio.sleep(1)
        assert bench.outbox.count() == 1
        assert bench.events.of(ResultDelayed) == []


@in_virtual_time
async def test_a_poll_that_was_given_up_is_told_with_its_time_and_reason() -> None:
    bench = Bench(gates=(gate := SwitchedGate(),))
    bench.script.plan("poll's wait for a renewal", After(3.0))
    async with led_node(bench):
        await asyncio.sleep(1)
        gate.closed_because = "no engine"
        await asyncio.sleep(3)
        assert bench.events.of(PollFailed) == [(NODE, pytest.approx(3.0), "not wanted any more", 0.0)]


@in_virtual_time
async def test_a_gate_is_open_since_the_last_reason_went_back_offs_aside() -> None:
    clock = VirtualClock()
    began = clock.monotonic()
    holds = Holds(NODE, clock, RecordingSink())
    seen = []
    for found in (
        *(Hold.BACK_OFF, Hold.NOTHING, Hold.ENGINE, Hold.ENGINE | Hold.DISK, Hold.DISK, Hold.DISK | Hold.BACK_OFF),
        *(Hold.BACK_OFF, Hold.NOTHING, Hold.ENGINE, Hold.NOTHING),
    ):
        await asyncio.sleep(1)
        holds.look(found)
        seen.append(holds.open_since - began)
    never = float("-inf")
    assert seen == [never] * 6 + [7, 7, 7, 10]
