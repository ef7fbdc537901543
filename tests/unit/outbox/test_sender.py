from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from node.domain.errors import StorageFull, StorageUnavailable
from node.domain.events import Crash, Notice, ResultAccepted, ResultBuried, ResultDelayed, ResultUnsafe
from node.domain.ids import JobKey, NodeId, SourceId
from node.domain.policies import BackOff, OutboxPolicy
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.ports.outbox import Keeping, Outbox
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.outbox.results import Answer, ScriptedSource, finished, key

N1, N2 = NodeId("n1"), NodeId("n2")
POLICY = OutboxPolicy(back_off=BackOff(base_s=1.0, cap_s=8.0))


class TestBed:
    """A sender over an outbox, with what it tells of."""

    __test__ = False

    def __init__(self, outbox: Outbox, policy: OutboxPolicy = POLICY, chance: Random | None = None) -> None:
        self.outbox = outbox
        self.events = RecordingSink()
        self.clock = VirtualClock()
        self.sender = Sender(outbox, self.clock, chance or Random(7), self.events, policy)
        self.stop = Signal()
        self.has_defects = False
        """Whether a test has planted some; otherwise there must be none."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sender.run(self.stop))
        try:
            yield
        finally:
            self.stop.set()
            await task
        assert bool(self.events.of(Crash)) == self.has_defects

    async def put(self, *jobs: str, node: str = "n1") -> None:
        for job in jobs:
            await self.sender.put(finished(job, node))

    def accepted(self) -> list[str]:
        return [event.key.job for event in self.events.of(ResultAccepted)]

    def buried(self) -> list[tuple[str, str]]:
        return [(event.key.job, event.reason) for event in self.events.of(ResultBuried)]


def bed(policy: OutboxPolicy = POLICY, outbox: Outbox | None = None) -> TestBed:
    return TestBed(outbox or MemoryOutbox(policy, VirtualClock()), policy)


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_result_goes_out_once_its_node_is_attached_and_is_accepted() -> None:
    it = bed()
    source = ScriptedSource(takes_s=2)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(10)
        assert source.calls == []
        it.sender.attach(N1, source)
        await asyncio.sleep(10)
    assert source.jobs == ["a"]
    assert it.sender.keeping(key("a")) is Keeping.ACCEPTED
    (event,) = it.events.of(ResultAccepted)
    assert (event.key, event.attempts, event.already) == (key("a"), 1, False)
    assert event.took_s == pytest.approx(12)


@in_virtual_time
async def test_a_result_of_an_attached_node_goes_out_at_once() -> None:
    it = bed()
    source = ScriptedSource()
    async with it.running():
        it.sender.attach(N1, source)
        await asyncio.sleep(5)
        started = now()
        await it.put("a")
        await asyncio.sleep(0.001)
        assert it.accepted() == ["a"]
        assert source.times == [started]


@in_virtual_time
async def test_already_there_is_success() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource([Ruling.ALREADY]))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
    assert [(event.key.job, event.already) for event in it.events.of(ResultAccepted)] == [("a", True)]
    assert it.outbox.count() == 0


@pytest.mark.parametrize("ruling", [Ruling.DEAD_LETTER, Ruling.REFUSED])
def test_what_is_refused_for_good_is_buried_with_the_reason(ruling: Ruling) -> None:
    @in_virtual_time
    async def scenario() -> None:
        it = bed()
        it.sender.attach(N1, ScriptedSource([Verdict(ruling, "HTTP 404: no such job")]))
        async with it.running():
            await it.put("a", "b")
            await asyncio.sleep(1)
        assert it.buried() == [("a", "HTTP 404: no such job")]
        assert it.accepted() == ["b"]
        assert [letter.reason for letter in it.outbox.dead()] == ["HTTP 404: no such job"]

    scenario()


@in_virtual_time
async def test_what_was_refused_is_sent_again_on_demand() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource([Verdict(Ruling.DEAD_LETTER, "HTTP 404: no such job")]))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
        [letter] = it.outbox.dead()
        await it.sender.send_again(letter.key)
        await asyncio.sleep(1)
        assert it.accepted() == ["a"]
        await it.sender.send_again(letter.key)
        await asyncio.sleep(1)
    assert it.accepted() == ["a"]
    assert not list(it.outbox.dead())


@pytest.mark.parametrize("ruling", [Ruling.RETRY, Ruling.FAULT])
def test_a_passing_fault_is_tried_again_with_jittered_back_off_and_without_end(ruling: Ruling) -> None:
    @in_virtual_time
    async def scenario() -> None:
        it = bed()
        source = ScriptedSource([ruling] * 60)
        it.sender.attach(N1, source)
        async with it.running():
            await it.put("a")
            await asyncio.sleep(3600)
        assert len(source.calls) == 61
        assert it.accepted() == ["a"]
        assert it.events.of(ResultAccepted)[0].attempts == 61
        waits = [later - earlier for earlier, later in zip(source.times, source.times[1:], strict=False)]
        ceilings = [POLICY.back_off.ceiling(attempt) for attempt in range(1, 61)]
        assert all(wait <= ceiling + 1e-6 for wait, ceiling in zip(waits, ceilings, strict=True))
        assert len(set(waits)) == 60
        assert max(waits) > 6
        delayed = it.events.of(ResultDelayed)
        assert [event.attempt for event in delayed] == list(range(1, 61))
        assert [event.retry_in_s for event in delayed] == pytest.approx(waits)

    scenario()


@in_virtual_time
async def test_retry_after_is_honoured_by_the_result_and_its_neighbours() -> None:
    it = bed()
    source = ScriptedSource([Verdict(Ruling.RETRY, "HTTP 429", retry_after_s=40)])
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
        await it.put("b")
        await asyncio.sleep(100)
    assert source.times[1] - source.times[0] >= 40
    assert source.times[1] - source.times[0] <= 41
    assert set(it.accepted()) == {"a", "b"}


@in_virtual_time
async def test_a_verdict_that_is_not_for_results_is_told_and_tried_again() -> None:
    it = bed()
    wrong: list[Answer] = [Ruling.NO_JOB, Ruling.PENDING, Ruling.RENEW, Ruling.IDENTITY_REFUSED]
    it.sender.attach(N1, ScriptedSource(wrong))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(60)
    assert it.accepted() == ["a"]
    assert len(it.events.of(Notice)) == 4


@in_virtual_time
async def test_a_defect_in_a_submission_is_told_and_ends_nothing() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource([KeyError("a defect"), KeyError("again")]))
    it.sender.attach(N2, ScriptedSource())
    it.has_defects = True
    async with it.running():
        await it.put("a")
        await it.put("b", node="n2")
        await asyncio.sleep(60)
        assert set(it.accepted()) == {"a", "b"}
    crashes = it.events.of(Crash)
    assert [crash.task for crash in crashes] == ["submit n1/a"] * 2
    assert crashes[0].error == "KeyError"


@in_virtual_time
async def test_a_lost_session_waits_for_the_next_one() -> None:
    it = bed()
    lost, new = ScriptedSource([Ruling.SESSION_LOST]), ScriptedSource()
    it.sender.attach(N1, lost)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
        await it.put("b")
        await asyncio.sleep(3600)
        assert lost.jobs == ["a"]
        assert it.outbox.count(N1) == 2
        it.sender.detach(N1)
        it.sender.attach(N1, new)
        await asyncio.sleep(60)
    assert sorted(it.accepted()) == ["a", "b"]


@in_virtual_time
async def test_a_session_attached_again_as_it_was_is_not_tried_in_a_circle() -> None:
    it = bed()
    source = ScriptedSource([Ruling.SESSION_LOST] * 1000)
    async with it.running():
        await it.put("a", "b", "c")
        for _ in range(600):
            it.sender.attach(N1, source)
            await asyncio.sleep(0.1)
        assert len(source.calls) < 40
        it.sender.attach(N1, ScriptedSource())
        await asyncio.sleep(60)
    assert sorted(it.accepted()) == ["a", "b", "c"]


@in_virtual_time
async def test_a_lost_session_that_is_told_late_does_not_cut_the_new_one_off() -> None:
    it = bed()
    old = ScriptedSource([10.0, Ruling.SESSION_LOST])
    it.sender.attach(N1, old)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1)
        it.sender.detach(N1)
        new = ScriptedSource()
        it.sender.attach(N1, new)
        await asyncio.sleep(60)
        assert old.jobs == ["a"]
        assert new.jobs == ["a"]
        await it.put("b")
        await asyncio.sleep(60)
    assert it.accepted() == ["a", "b"]


@in_virtual_time
async def test_at_most_so_many_of_one_node_are_under_way_and_no_key_twice() -> None:
    it = bed(OutboxPolicy(per_node=3))
    source = ScriptedSource(takes_s=1)
    async with it.running():
        it.sender.attach(N1, source)
        results = [finished(f"{number}") for number in range(10)]
        await asyncio.gather(*(it.sender.put(result) for result in results), *(it.sender.put(r) for r in results))
        it.sender.attach(N1, source)
        await asyncio.sleep(60)
    assert source.most_under_way == 3
    assert sorted(source.jobs) == sorted(result.key.job for result in results)
    assert source.times[-1] - source.times[0] == pytest.approx(3)


@in_virtual_time
async def test_a_source_that_hangs_holds_up_its_own_node_alone() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource(takes_s=1e9))
    it.sender.attach(N2, ScriptedSource(takes_s=0.1))
    async with it.running():
        await it.put(*(f"{number}" for number in range(20)))
        await it.put(*(f"{number}" for number in range(20)), node="n2")
        await asyncio.sleep(3)
        assert len(it.accepted()) == 20
        assert it.outbox.count(N2) == 0
        assert it.outbox.count(N1) == 20


@in_virtual_time
async def test_one_result_that_always_fails_does_not_hold_up_the_others() -> None:
    class Poisoned(ScriptedSource):
        async def settle(self, finished: FinishedJob) -> Verdict:
            verdict = await super().settle(finished)
            return Verdict(Ruling.RETRY, "HTTP 500") if finished.key.job == "poison" else verdict

    it = bed()
    it.sender.attach(N1, Poisoned())
    async with it.running():
        await it.put("poison", *(f"{number}" for number in range(50)))
        await asyncio.sleep(5)
        assert len(it.accepted()) == 50
        await asyncio.sleep(100)
        await it.put("late")
        await asyncio.sleep(2)
        assert it.accepted()[-1] == "late"
        assert it.outbox.count() == 1


@in_virtual_time
async def test_a_source_in_trouble_hears_from_a_node_once_a_while_however_much_waits() -> None:
    it = bed()
    source = ScriptedSource([Ruling.RETRY] * 300)
    async with it.running():
        await it.put(*(f"{number}" for number in range(500)))
        it.sender.attach(N1, source)
        await asyncio.sleep(400)
        in_trouble = [at for at in source.times if at > source.times[0] + 60]
        assert len(in_trouble) < 340 / 8 * 4
        await asyncio.sleep(4000)
    assert len(it.accepted()) == 500


@in_virtual_time
async def test_a_source_that_is_well_again_gets_as_many_at_once_as_before() -> None:
    it = bed(OutboxPolicy(per_node=4))
    source = ScriptedSource([Ruling.RETRY] * 3)
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(60)
        source.takes_s = 1
        await it.put(*(f"{number}" for number in range(12)))
        await asyncio.sleep(3.5)
        assert source.most_under_way == 4
        assert len(it.accepted()) == 13


@in_virtual_time
async def test_results_go_back_to_the_source_they_came_from() -> None:
    other = SourceId("http://other")
    it = bed()
    one, two = ScriptedSource(), ScriptedSource(source=other)
    async with it.running():
        await it.sender.put(finished("a"))
        await it.sender.put(finished("b", source=other))
        it.sender.attach(N1, one)
        await asyncio.sleep(100)
        assert one.jobs == ["a"]
        it.sender.attach(N1, two)
        await asyncio.sleep(1)
        await it.sender.put(finished("c"))
        await asyncio.sleep(1)
    assert one.jobs == ["a", "c"]
    assert two.jobs == ["b"]


@in_virtual_time
async def test_a_detached_node_waits_and_what_is_under_way_is_not_cut() -> None:
    it = bed(OutboxPolicy(per_node=1))
    source = ScriptedSource(takes_s=10)
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a", "b")
        await asyncio.sleep(1)
        it.sender.detach(N1)
        it.sender.detach(NodeId("never seen"))
        await asyncio.sleep(3600)
        assert source.ended == ["a"]
        assert it.accepted() == ["a"]
        it.sender.attach(N1, source)
        await asyncio.sleep(11)
    assert it.accepted() == ["a", "b"]


@in_virtual_time
async def test_what_was_left_before_a_restart_is_sent() -> None:
    outbox = MemoryOutbox(POLICY, VirtualClock())
    for number in range(1200):
        await outbox.put(finished(f"{number}", node=f"n{number % 3}"))
    it = bed(outbox=outbox)
    source = ScriptedSource()
    it.sender.attach(N1, source)
    async with it.running():
        await asyncio.sleep(1)
        assert len(it.accepted()) == 400
        assert source.jobs[:3] == ["1", "4", "7"]
        it.sender.attach(N2, ScriptedSource())
        await asyncio.sleep(1)
        assert len(it.accepted()) == 800
        assert it.sender.orphans({N1, N2}) == {"n0": 400}
        assert it.sender.orphans({"n0"}) == {}


@in_virtual_time
async def test_waiting_results_of_absent_nodes_cost_nothing() -> None:
    class Counting(MemoryOutbox):
        asked = 0

        def keeping(self, key: JobKey) -> Keeping:
            self.asked += 1
            return super().keeping(key)

    outbox = Counting(POLICY, VirtualClock())
    it = bed(outbox=outbox)
    async with it.running():
        for number in range(10_000):
            await it.sender.put(finished(f"{number}", node=f"absent {number % 100}"))
        it.sender.attach(N1, ScriptedSource())
        outbox.asked = 0
        for number in range(100):
            await it.put(f"{number}")
            await asyncio.sleep(1)
        assert len(it.accepted()) == 100
        assert outbox.asked < 100 * 5


class Failing(MemoryOutbox):
    """An outbox whose disk fails as told."""

    def __init__(self) -> None:
        super().__init__(POLICY, VirtualClock())
        self.failing: set[str] = set()
        self.error: Exception = StorageUnavailable("disk I/O error")

    def _try(self, what: str) -> None:
        if what in self.failing:
            raise self.error

    async def put(self, finished: FinishedJob) -> None:
        await asyncio.sleep(0.01)
        self._try("put")
        await super().put(finished)

    async def accept(self, key: JobKey) -> None:
        self._try("accept")
        await super().accept(key)

    async def bury(self, key: JobKey, reason: str) -> None:
        self._try("bury")
        await super().bury(key, reason)

    async def sweep(self, now: float) -> list[JobKey]:
        self._try("sweep")
        return await super().sweep(now)


@pytest.mark.parametrize(("ruling", "call"), [(Ruling.OK, "accept"), (Ruling.DEAD_LETTER, "bury")])
def test_a_verdict_that_the_disk_does_not_take_is_recorded_later_and_not_asked_for_again(
    ruling: Ruling, call: str
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        outbox = Failing()
        it = bed(outbox=outbox)
        source = ScriptedSource([ruling])
        it.sender.attach(N1, source)
        async with it.running():
            outbox.failing = {call}
            await it.put("a")
            await asyncio.sleep(30)
            assert outbox.count() == 1
            assert len(it.events.of(ResultDelayed)) > 3
            it.sender.detach(N1)
            outbox.failing = set()
            await asyncio.sleep(10)
            assert outbox.count() == 0
        assert source.jobs == ["a"]
        assert len(it.accepted()) + len(it.buried()) == 1

    scenario()


@in_virtual_time
async def test_a_defect_of_the_outbox_is_told_and_the_verdict_recorded_later() -> None:
    outbox = Failing()
    outbox.error = KeyError("a defect")
    outbox.failing = {"accept"}
    it = bed(outbox=outbox)
    source = ScriptedSource()
    it.sender.attach(N1, source)
    it.has_defects = True
    async with it.running():
        await it.put("a")
        await asyncio.sleep(10)
        outbox.failing = set()
        await asyncio.sleep(10)
    assert it.accepted() == ["a"]
    assert source.jobs == ["a"]


@in_virtual_time
async def test_a_put_that_fails_is_the_callers() -> None:
    outbox = Failing()
    outbox.failing = {"put"}
    it = bed(outbox=outbox)
    it.sender.attach(N1, ScriptedSource())
    async with it.running():
        with pytest.raises(StorageUnavailable):
            await it.put("a")
        await asyncio.sleep(10)
    assert it.accepted() == []


@in_virtual_time
async def test_a_put_that_is_cancelled_is_kept_and_sent_by_the_sender() -> None:
    outbox = Failing()
    it = bed(outbox=outbox)
    it.sender.attach(N1, ScriptedSource())
    async with it.running():
        outbox.failing = {"put"}
        put = asyncio.create_task(it.put("a"))
        await asyncio.sleep(0)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        flushed = asyncio.create_task(it.sender.flushed(N1, 60))
        await asyncio.sleep(5)
        assert not flushed.done()
        assert it.events.of(ResultUnsafe)
        outbox.failing = set()
        assert await flushed
        assert it.accepted() == ["a"]


@in_virtual_time
async def test_a_bound_that_is_reached_is_the_callers_matter() -> None:
    it = bed(OutboxPolicy(max_results=1))
    async with it.running():
        await it.put("a")
        assert not it.sender.accepting
        with pytest.raises(StorageFull):
            await it.put("b")
        it.sender.attach(N1, ScriptedSource())
        await asyncio.sleep(1)
        assert it.sender.accepting


@in_virtual_time
async def test_old_results_are_swept_and_told() -> None:
    it = bed(OutboxPolicy(expire_s=600, sweep_s=60))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(590)
        assert it.buried() == []
        await asyncio.sleep(80)
        assert it.buried() == [("a", "not taken within 600 s")]
        assert await it.sender.flushed(N1, 0)
        source = ScriptedSource()
        it.sender.attach(N1, source)
        await asyncio.sleep(60)
        assert source.calls == []
        assert await it.sender.flushed(N1, 1)


@in_virtual_time
async def test_a_result_that_expires_under_way_is_accepted_all_the_same() -> None:
    it = bed(OutboxPolicy(expire_s=600, sweep_s=60))
    it.sender.attach(N1, ScriptedSource([1000.0]))
    async with it.running():
        await it.put("a")
        await asyncio.sleep(2000)
    assert it.accepted() == ["a"]
    assert list(it.outbox.dead()) == []


@in_virtual_time
async def test_a_result_that_expires_under_way_and_fails_is_given_up() -> None:
    it = bed(OutboxPolicy(expire_s=600, sweep_s=60))
    source = ScriptedSource([1000.0, Ruling.RETRY])
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a")
        await asyncio.sleep(1100)
        assert await it.sender.flushed(N1, 1)
    assert source.jobs == ["a"]
    assert it.events.of(ResultDelayed) == []
    assert it.outbox.keeping(key("a")) is Keeping.DEAD


@in_virtual_time
async def test_a_sweep_that_fails_is_told_and_made_up_for() -> None:
    outbox = Failing()
    it = bed(outbox=outbox)
    outbox.failing = {"sweep"}
    async with it.running():
        await asyncio.sleep(100)
        assert len(it.events.of(Notice)) == 2
        outbox.failing = set()
        await asyncio.sleep(100)
    assert len(it.events.of(Notice)) == 2


@in_virtual_time
async def test_a_sweep_that_takes_long_is_not_met_by_another() -> None:
    class Slow(MemoryOutbox):
        sweeps = 0
        most = 0
        begun = 0

        async def sweep(self, now: float) -> list[JobKey]:
            self.begun += 1
            self.sweeps += 1
            self.most = max(self.most, self.sweeps)
            await asyncio.sleep(500)
            self.sweeps -= 1
            return []

    outbox = Slow(POLICY, VirtualClock())
    it = bed(OutboxPolicy(sweep_s=60), outbox)
    async with it.running():
        await asyncio.sleep(2000)
    assert outbox.most == 1
    assert outbox.begun == 4


@in_virtual_time
async def test_a_result_that_was_dropped_while_it_waited_is_not_sent() -> None:
    it = bed()
    source = ScriptedSource()
    async with it.running():
        await it.put("a", "b")
        await it.outbox.drop(key("a"))
        it.sender.attach(N1, source)
        await asyncio.sleep(1)
    assert source.jobs == ["b"]


@in_virtual_time
async def test_flushed_waits_until_nothing_of_the_node_is_left() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource(takes_s=5))
    async with it.running():
        assert await it.sender.flushed(N1, 0)
        await it.put(*"abcdefgh")
        await it.put("x", node="n2")
        started = now()
        first, second = (asyncio.create_task(it.sender.flushed(N1, 60)) for _ in range(2))
        assert await first
        assert await second
        assert now() - started == pytest.approx(10)
        assert not await it.sender.flushed(N2, 7)
        assert now() - started == pytest.approx(17)


@in_virtual_time
async def test_results_for_a_source_out_of_use_are_not_waited_for_while_another_is_attached() -> None:
    it = bed()
    async with it.running():
        await it.sender.put(finished("a", source=SourceId("http://the-gateway-of-last-year")))
        assert not await it.sender.flushed(N1, 1)
        waiting = asyncio.create_task(it.sender.flushed(N1, 60))
        await asyncio.sleep(1)
        it.sender.attach(N1, ScriptedSource())
        assert await waiting
        assert it.outbox.count(N1) == 1


@in_virtual_time
async def test_the_end_awaits_what_is_under_way_and_starts_nothing_new() -> None:
    it = bed(OutboxPolicy(per_node=1, grace_s=5))
    source = ScriptedSource(takes_s=3)
    it.sender.attach(N1, source)
    async with it.running():
        await it.put("a", "b")
        await asyncio.sleep(1)
    assert it.accepted() == ["a"]
    assert source.jobs == ["a"]
    assert [waiting.key.job for waiting in it.outbox.pending()] == ["b"]


@in_virtual_time
async def test_the_end_cuts_what_takes_too_long_and_forgets_nothing() -> None:
    it = bed(OutboxPolicy(grace_s=5))
    source = ScriptedSource(takes_s=1000)
    it.sender.attach(N1, source)
    started = now()
    async with it.running():
        await it.put("a", "b")
        await asyncio.sleep(1)
    assert now() - started == pytest.approx(6)
    assert it.outbox.count() == 2
    assert source.under_way == 0
    assert len(it.events.of(Notice)) == 1
    again = bed(outbox=it.outbox)
    again.sender.attach(N1, ScriptedSource())
    async with again.running():
        await asyncio.sleep(1)
    assert sorted(again.accepted()) == ["a", "b"]


@in_virtual_time
async def test_a_cancelled_run_cuts_at_once_and_the_sender_can_run_again() -> None:
    it = bed()
    slow = ScriptedSource(takes_s=1000)
    it.sender.attach(N1, slow)
    run = asyncio.create_task(it.sender.run(it.stop))
    await it.put("a")
    await asyncio.sleep(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert slow.under_way == 0
    await it.put("b")
    slow.takes_s = 1
    async with it.running():
        await asyncio.sleep(5)
    assert it.accepted() == ["a", "b"]


@in_virtual_time
async def test_an_end_with_nothing_under_way_takes_no_time() -> None:
    it = bed()
    it.sender.attach(N1, ScriptedSource())
    async with it.running():
        await it.put("a")
        await asyncio.sleep(5)
        assert it.accepted() == ["a"]
        stopped = now()
    assert now() == stopped


@in_virtual_time
async def test_a_stop_before_the_start_ends_it_at_once() -> None:
    it = bed()
    it.stop.set()
    started = now()
    await it.sender.run(it.stop)
    assert now() == started
