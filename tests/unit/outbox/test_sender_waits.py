"""How long the sender waits, to the second, and what it tells: chance always draws the longest wait here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from node.domain.errors import StorageUnavailable
from node.domain.events import Crash, Notice, ResultDelayed, ResultLost, ResultUnsafe
from node.domain.ids import JobKey, SourceId
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.outbox import TOPIC
from node.outbox.memory import MemoryOutbox
from node.ports.outbox import Keeping
from node.runtime.signals import Signal
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.outbox.results import ScriptedSource, finished, key
from tests.unit.outbox.test_sender import N1, N2, POLICY, TestBed, now


class Longest(Random):
    """Draws the end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Disk(MemoryOutbox):
    """Raises what is planned for a call, and lets puts wait until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(POLICY, VirtualClock())
        self.errors: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def put(self, finished: FinishedJob) -> None:
        if gate := self.gates.get(finished.key.job):
            await gate.wait()
        self._fail("put")
        await super().put(finished)

    async def accept(self, key: JobKey) -> None:
        self._fail("accept")
        await super().accept(key)

    async def sweep(self, now: float) -> list[JobKey]:
        self._fail("sweep")
        return await super().sweep(now)

    async def revive(self, key: JobKey) -> bool:
        self._fail("revive")
        return await super().revive(key)

    def _fail(self, call: str) -> None:
        if planned := self.errors.get(call):
            raise planned.pop(0)


def bed() -> tuple[TestBed, Disk]:
    disk = Disk()
    return TestBed(disk, POLICY, Longest()), disk


async def cancelled_put(it: TestBed, job: str) -> None:
    put = asyncio.create_task(it.put(job))
    await asyncio.sleep(0)
    put.cancel()
    await asyncio.wait([put])


BUSY = Verdict(Ruling.RETRY, "HTTP 503")


@in_virtual_time
async def test_one_result_waits_twice_as_long_each_time_up_to_the_cap() -> None:
    it, _ = bed()
    source = ScriptedSource([BUSY] * 6)
    it.sender.attach(N1, source)
    async with it.running():
        began = now()
        await it.put("a")
        await asyncio.sleep(60)
    assert [at - began for at in source.times] == pytest.approx([0, 1, 3, 7, 15, 23, 31])
    delayed = it.events.of(ResultDelayed)
    assert delayed[:2] == [(key("a"), 1, "HTTP 503", 1), (key("a"), 2, "HTTP 503", 2)]


@in_virtual_time
async def test_a_lane_waits_twice_as_long_with_each_result_that_fails() -> None:
    it, _ = bed()
    source = ScriptedSource([BUSY] * 40)
    for job in "abcdef":
        await it.put(job)
    async with it.running():
        began = now()
        it.sender.attach(N1, source)
        await asyncio.sleep(20)
    rounds = [round(at - began) for at in source.times]
    assert rounds == [0, 0, 0, 0, 1, 3, 7, 15], "as many as may at first, and then one at a time"


@in_virtual_time
async def test_a_retry_after_holds_the_lane_of_a_result_that_is_new_to_it() -> None:
    it, _ = bed()
    source = ScriptedSource([BUSY, Verdict(Ruling.RETRY, "HTTP 429", 50)])
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(0.5)
        await it.put("b", "c")
        await asyncio.sleep(200)
    assert source.jobs[:2] == ["a", "b"]
    assert source.times[2] - source.times[1] >= 50
    assert sorted(it.accepted()) == ["a", "b", "c"]


@in_virtual_time
async def test_what_waits_for_its_lane_is_not_flushed() -> None:
    it, _ = bed()
    it.sender.attach(N1, ScriptedSource([BUSY] * 3))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(4)
        assert not await it.sender.flushed(N1, 0)
        assert not await it.sender.flushed(N1, 2)
        assert await it.sender.flushed(N1, 60)


@in_virtual_time
async def test_a_flush_may_take_less_than_a_second() -> None:
    it, _ = bed()
    it.sender.attach(N1, ScriptedSource(takes_s=0.3))
    async with it.running():
        await it.put("a")
        assert await it.sender.flushed(N1, 0.5)


@in_virtual_time
async def test_before_the_start_those_are_flushed_that_have_nothing() -> None:
    it, disk = bed()
    await disk.put(finished("a", "n2"))
    assert await it.sender.flushed(N1, 0)
    assert not await it.sender.flushed(N2, 0)


@in_virtual_time
async def test_nothing_is_handed_to_the_source_of_a_detached_node() -> None:
    it, _ = bed()
    source = ScriptedSource()
    async with it.running():
        it.sender.attach(N1, source)
        it.sender.detach(N1)
        await it.put("a")
        await asyncio.sleep(60)
    assert source.calls == []


@in_virtual_time
async def test_a_dead_letter_that_the_disk_does_not_bring_back_is_told_of() -> None:
    it, disk = bed()
    disk.errors["revive"] = [StorageUnavailable("disk I/O error")]
    await it.sender.send_again(key("a"))
    assert it.events.of(Notice) == [Notice(TOPIC, "a dead letter cannot be sent again: disk I/O error", N1)]


@in_virtual_time
async def test_a_result_whose_put_was_cancelled_is_put_with_longer_and_longer_waits() -> None:
    it, disk = bed()
    disk.gates["a"] = asyncio.Event()
    disk.errors["put"] = [StorageUnavailable("disk full")] * 5
    it.sender.attach(N1, ScriptedSource())
    async with it.running():
        await cancelled_put(it, "a")
        began = now()
        disk.gates["a"].set()
        assert await it.sender.flushed(N1, 60)
        assert now() - began == pytest.approx(1 + 2 + 4 + 8 + 8)
    assert it.events.of(ResultUnsafe) == [(key("a"), "disk full")] * 5


@in_virtual_time
async def test_a_result_that_the_disk_never_takes_is_told_to_be_lost_once_and_when_the_sender_ends() -> None:
    it, disk = bed()
    disk.errors["put"] = [StorageUnavailable("disk full")] * 1000
    kept: list[str] = []
    async with it.running():
        for _ in range(2):
            it.sender.keep_trying(finished("a"), lambda: kept.append("a"))
        await asyncio.sleep(100)
        assert it.events.of(ResultLost) == []
    assert [event.key for event in it.events.of(ResultLost)] == [key("a")]
    assert kept == []
    assert it.events.of(Notice) == [], "nothing of it stays in the outbox"


@in_virtual_time
async def test_a_result_that_the_disk_takes_at_last_is_told_to_be_kept_once() -> None:
    it, disk = bed()
    disk.errors["put"] = [StorageUnavailable("disk full")] * 3
    kept: list[str] = []
    async with it.running():
        for _ in range(2):
            it.sender.keep_trying(finished("a"), lambda: kept.append("a"))
        await asyncio.sleep(100)
        assert kept == ["a"]
    assert it.events.of(ResultLost) == []


@in_virtual_time
async def test_the_end_waits_no_longer_than_the_program_may_take() -> None:
    it, disk = bed()
    disk.gates["a"] = asyncio.Event()
    it.sender.keep_trying(finished("a"), lambda: None)
    stop = Signal()
    run = asyncio.create_task(it.sender.run(stop, lambda: 0.25))
    await asyncio.sleep(1)
    stop.set()
    began = now()
    await run
    assert now() - began == pytest.approx(0.25)


@in_virtual_time
async def test_every_result_whose_put_was_cancelled_counts() -> None:
    it, disk = bed()
    disk.gates = {job: asyncio.Event() for job in "ab"}
    it.sender.attach(N1, ScriptedSource())
    async with it.running():
        for job in "ab":
            await cancelled_put(it, job)
        disk.gates["a"].set()
        assert not await it.sender.flushed(N1, 10)
        disk.gates["b"].set()
        assert await it.sender.flushed(N1, 10)


@in_virtual_time
async def test_a_flush_ends_with_the_put_of_what_is_known_already() -> None:
    it, disk = bed()
    disk.gates["a"] = asyncio.Event()
    async with it.running():
        await cancelled_put(it, "a")
        await disk.accept(key("a"))
        asyncio.get_running_loop().call_later(5, disk.gates["a"].set)
        began = now()
        assert await it.sender.flushed(N1, 60)
        assert now() - began == pytest.approx(5)
        assert it.sender.keeping(key("a")) is Keeping.ACCEPTED


@in_virtual_time
async def test_defects_are_told_with_what_was_being_done() -> None:
    it, disk = bed()
    it.sender.attach(N1, ScriptedSource())
    disk.errors["accept"] = [StorageUnavailable("disk full"), KeyError("a defect")]
    disk.errors["sweep"] = [KeyError("a defect")]
    disk.gates["b"] = asyncio.Event()
    it.has_defects = True
    async with it.running():
        await it.put("a")
        await asyncio.sleep(60)
        await cancelled_put(it, "b")
        disk.errors["put"] = [KeyError("a defect")]
        disk.gates["b"].set()
        await asyncio.sleep(60)
    assert [crash.task for crash in it.events.of(Crash)] == ["outbox sweep", "record n1/a", "keep n1/b"]


@in_virtual_time
async def test_a_verdict_that_the_disk_does_not_take_is_recorded_after_longer_and_longer_waits() -> None:
    it, disk = bed()
    source = ScriptedSource()
    it.sender.attach(N1, source)
    disk.errors["accept"] = [StorageUnavailable("disk full")] * 5
    async with it.running():
        await it.put("a")
        began = now()
        assert await it.sender.flushed(N1, 60)
        assert now() - began == pytest.approx(1 + 2 + 4 + 8 + 8)
    assert it.events.of(ResultDelayed) == [(key("a"), 1, "disk full", wait) for wait in (1, 2, 4, 8, 8)]
    assert source.jobs == ["a"]


@in_virtual_time
async def test_results_that_are_due_together_go_in_their_order() -> None:
    it, _ = bed()
    source = ScriptedSource([BUSY] * 4)
    await it.put("a", "b", "c", "d")
    async with it.running():
        it.sender.attach(N1, source)
        await asyncio.sleep(60)
    assert source.jobs == [*"abcd", *"abcd"]


@in_virtual_time
async def test_a_submission_that_a_defect_ended_is_delayed_with_that_reason() -> None:
    it, _ = bed()
    it.sender.attach(N1, ScriptedSource([KeyError("a defect")]))
    it.has_defects = True
    async with it.running():
        await it.put("a")
        await asyncio.sleep(60)
    assert it.events.of(ResultDelayed) == [(key("a"), 1, "a defect ended the submission", 1)]


@in_virtual_time
async def test_a_flush_ends_when_the_node_turns_to_another_source() -> None:
    it, _ = bed()
    async with it.running():
        await it.put("a")
        asyncio.get_running_loop().call_later(5, it.sender.attach, N1, ScriptedSource(source=SourceId("other")))
        began = now()
        assert await it.sender.flushed(N1, 60)
        assert now() - began == pytest.approx(5)


@in_virtual_time
async def test_a_flush_ends_when_what_was_dropped_comes_to_its_turn() -> None:
    it, disk = bed()
    it.sender.attach(N1, ScriptedSource([BUSY] * 3))
    async with it.running():
        began = now()
        await it.put("a")
        await asyncio.sleep(4)
        assert await disk.drop(key("a"))
        assert await it.sender.flushed(N1, 60)
        assert now() - began == pytest.approx(7)


@in_virtual_time
async def test_a_verdict_that_is_not_for_results_is_told_of() -> None:
    it, _ = bed()
    it.sender.attach(N1, ScriptedSource([Ruling.PENDING]))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(10)
    assert it.events.of(Notice) == [
        Notice(TOPIC, "a source answered a result with PENDING, which is not for results", N1)
    ]
    assert it.events.of(ResultDelayed) == [(key("a"), 1, "scripted PENDING", 1)]
    assert it.accepted() == ["a"]


@in_virtual_time
async def test_nothing_is_sent_before_the_start() -> None:
    it, _ = bed()
    source = ScriptedSource()
    it.sender.attach(N1, source)
    await it.put("a")
    await asyncio.sleep(60)
    assert source.calls == []
    async with it.running():
        await asyncio.sleep(1)
    assert source.jobs == ["a"]


@in_virtual_time
async def test_a_flush_that_waits_for_the_start_ends_with_the_loading() -> None:
    it, disk = bed()
    await disk.put(finished("a"))
    it.sender.attach(N1, ScriptedSource(source=SourceId("other")))
    flushed = asyncio.create_task(it.sender.flushed(N1, 60))
    await asyncio.sleep(5)
    assert not flushed.done()
    async with it.running():
        await asyncio.sleep(1)
        assert flushed.done()
        assert await flushed


def short_lived() -> TestBed:
    """Results expire after a minute, and are looked for every minute."""
    policy = replace(POLICY, expire_s=60, sweep_s=60)
    return TestBed(MemoryOutbox(policy, VirtualClock()), policy, Longest())


@in_virtual_time
async def test_a_flush_ends_with_the_expiry_of_what_it_waits_for() -> None:
    it = short_lived()
    async with it.running():
        await it.put("a")
        began = now()
        assert await it.sender.flushed(N1, 1000)
        assert now() - began <= 120


@in_virtual_time
async def test_what_expires_under_way_is_still_waited_for() -> None:
    it = short_lived()
    it.sender.attach(N1, ScriptedSource(takes_s=200))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(150)
        assert it.buried()
        assert not await it.sender.flushed(N1, 10)
        assert await it.sender.flushed(N1, 100)


@in_virtual_time
async def test_a_sweep_that_fails_is_told_of() -> None:
    it, disk = bed()
    disk.errors["sweep"] = [StorageUnavailable("disk full")]
    async with it.running():
        await asyncio.sleep(1)
    assert it.events.of(Notice) == [Notice(TOPIC, "expired results wait for the next sweep: disk full", None)]


@in_virtual_time
async def test_what_is_cut_at_the_end_is_told_of() -> None:
    it, _ = bed()
    it.sender.attach(N1, ScriptedSource(takes_s=1000))
    async with it.running():
        await it.put("a", "b")
        await asyncio.sleep(1)
    assert it.events.of(Notice) == [Notice(TOPIC, "2 submissions are cut; their results stay in the outbox", None)]


@in_virtual_time
async def test_what_was_cut_expires_like_the_others_once_the_sender_runs_again() -> None:
    it = short_lived()
    it.sender.attach(N1, ScriptedSource(takes_s=1000))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
    it.sender.detach(N1)
    it.stop = Signal()
    async with it.running():
        began = now()
        assert await it.sender.flushed(N1, 1000)
        assert now() - began <= 120


@in_virtual_time
async def test_a_result_that_no_disk_takes_to_the_end_is_told_as_lost() -> None:
    it, disk = bed()
    disk.gates["a"] = asyncio.Event()
    async with it.running():
        await cancelled_put(it, "a")
        await asyncio.sleep(60)
    assert it.events.of(ResultLost) == [(key("a"), "the disk took no result until the program had to end")]
