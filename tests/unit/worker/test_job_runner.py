"""A job from its receipt to its result's being kept: every way that it can go, each with an answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from node.domain.errors import EngineFailed, StorageError, StorageFull, StorageUnavailable
from node.domain.events import Crash, JobClaimed, JobEnded, JobSkipped, ResultLost, ResultUnsafe
from node.domain.ids import JobId, JobKey
from node.domain.jobs import ChatPayload, Job, Payload
from node.domain.results import Failure, FinishedJob, Generation, Success
from node.domain.trace import TraceContext
from node.domain.verdict import Ruling, Verdict
from node.ports.executor import Partials
from node.ports.outbox import Keeping
from node.runtime.signals import Signal
from node.worker.job_runner import JobRunner
from tests.support.bench import POLICY, Bench, job, jobs, led_node, malformed, spec, until
from tests.support.script import NEVER, SOURCE, After, ScriptedExecutor
from tests.support.virtual_time import in_virtual_time

LEASE_S = 300.0


def runner(bench: Bench) -> JobRunner:
    return JobRunner(spec(), bench.around(), on_free=lambda: None)


def pending(bench: Bench) -> dict[JobId, FinishedJob]:
    return {finished.key.job: finished for finished in bench.outbox.pending()}


def error_of(bench: Bench, name: str) -> str:
    outcome = pending(bench)[JobId(name)].outcome
    assert isinstance(outcome, Failure)
    return outcome.reason


@in_virtual_time
async def test_a_job_that_is_done() -> None:
    bench = Bench()
    running = runner(bench)
    assert running.start(job("a"), SOURCE)
    assert running.busy == 1
    await asyncio.sleep(2)
    assert running.busy == 0
    finished = pending(bench)[JobId("a")]
    assert finished.outcome == Success(Generation("answer to hello", "m", "scripted"))
    assert finished.finished_at - finished.received_at == 1.0
    assert finished.receipt == job("a").receipt
    ended = bench.events.of(JobEnded)[0]
    assert (ended.executor, ended.model, ended.took_s, ended.error) == ("scripted", "m", 1.0, "")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (EngineFailed("the engine broke off"), "the engine broke off"),
        (ValueError("planted, with something private"), "the node failed on this job"),
        (NEVER, "not done within 230 s"),
    ],
)
def test_a_job_that_is_not(outcome: object, reason: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        running = runner(bench)
        bench.executor.plan(outcome)
        running.start(job("a"), SOURCE)
        await asyncio.sleep(231)
        assert (running.busy, bench.executor.running) == (0, 0)
        assert error_of(bench, "a") == reason
        assert [event.error for event in bench.events.of(JobEnded)] == [reason]
        crashes = bench.events.of(Crash)
        assert [crash.node for crash in crashes] == (["n1"] if isinstance(outcome, ValueError) else [])

    scenario()


@in_virtual_time
async def test_who_asked_is_told_what_they_may_read_and_the_operator_all() -> None:
    bench = Bench()
    bench.executor.plan(EngineFailed("nothing answers at http://10.0.0.7", told="the engine is not there"))
    runner(bench).start(job("a"), SOURCE)
    await asyncio.sleep(2)
    assert error_of(bench, "a") == "the engine is not there"
    assert [event.error for event in bench.events.of(JobEnded)] == ["nothing answers at http://10.0.0.7"]


@in_virtual_time
async def test_a_malformed_job_is_answered_with_what_is_wrong() -> None:
    bench = Bench()
    running = runner(bench)
    running.start(malformed("a"), SOURCE)
    await asyncio.sleep(0.1)
    assert error_of(bench, "a") == "the job has no messages"
    assert bench.executor.seen == []


@pytest.mark.parametrize(("asked", "given"), [(None, 4096), (0, 4096), (10, 10), (5000, 4096)])
def test_the_length_of_an_answer_is_bounded(asked: int | None, given: int) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        running = runner(bench)
        running.start(job("a", max_output=asked), SOURCE)
        await asyncio.sleep(2)
        assert [payload.max_output for payload in bench.executor.seen] == [given]

    scenario()


@in_virtual_time
async def test_no_job_is_run_twice_whatever_became_of_it() -> None:
    bench = Bench()
    bench.script.plan("result", Verdict(Ruling.DEAD_LETTER, "HTTP 404"))
    running = runner(bench)
    running.start(job("dead"), SOURCE)
    assert not running.start(job("dead"), SOURCE)
    await asyncio.sleep(2)
    assert not running.start(job("dead"), SOURCE)
    stop = Signal()
    sending = asyncio.create_task(bench.sender.run(stop))
    link = bench.links.open(spec(), None, lambda: None)
    await link.membership.register()
    bench.sender.attach(spec().node_id, link.source)
    await asyncio.sleep(1)
    assert not running.start(job("dead"), SOURCE)
    running.start(job("taken"), SOURCE)
    await asyncio.sleep(2)
    assert not running.start(job("taken"), SOURCE)
    stop.set()
    await sending
    assert [event.reason for event in bench.events.of(JobSkipped)] == [
        "it is being worked on",
        "its result waits to be sent",
        "its result was refused before, and is sent again",
        "its result was accepted",
    ]
    assert len(bench.executor.seen) == 2
    assert sorted(bench.results) == ["dead", "taken"], "what was refused and asked for again is there after all"
    await asyncio.sleep(LEASE_S)
    assert running.start(job("taken"), SOURCE), "forgotten after one lease"
    await asyncio.sleep(2)


@pytest.mark.parametrize("error", [StorageFull("the outbox holds 5 results"), StorageUnavailable("no space left")])
def test_a_result_that_the_disk_does_not_take_holds_its_slot(error: StorageError) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        running = runner(bench)
        bench.outbox.failing = error
        running.start(job("a"), SOURCE)
        await asyncio.sleep(100)
        assert running.busy == 1
        assert bench.events.of(JobEnded) == []
        assert not running.start(job("a"), SOURCE)
        tries = bench.events.of(ResultUnsafe)
        assert {event.reason for event in tries} == {str(error)}
        assert 10 < len(tries) < 80, "with back-off"
        bench.outbox.failing = None
        await asyncio.sleep(9)
        assert running.busy == 0
        assert isinstance(pending(bench)[JobId("a")].outcome, Success)
        assert bench.events.of(JobEnded)[0].took_s == 1.0

    scenario()


@in_virtual_time
async def test_a_full_disk_loses_nothing_and_the_node_takes_no_more_work() -> None:
    bench = Bench(policy=replace(POLICY, slots=2))
    bench.script.plan("poll", *jobs("abcdef"))
    bench.outbox.failing = StorageFull("full")
    async with led_node(bench) as led:
        await asyncio.sleep(60)
        assert [event.key.job for event in bench.events.of(JobClaimed)] == ["a", "b"]
        assert led.node.busy_slots == 2
        bench.outbox.failing = None
        await until(lambda: len(bench.results) == 6)
        assert bench.events.of(ResultLost) == []


@in_virtual_time
async def test_what_is_stopped_is_answered_and_so_is_what_comes_after() -> None:
    bench = Bench()
    running = runner(bench)
    bench.executor.seconds = 100
    for each in jobs("ab"):
        running.start(each, SOURCE)
    await asyncio.sleep(1)
    running.start(job("c"), SOURCE)  # Its task has not had its first turn.
    running.stop("the node is stopping")
    running.stop("another reason")
    running.start(job("d"), SOURCE)
    await asyncio.sleep(0.1)
    assert running.busy == 0
    assert [error_of(bench, name) for name in "abcd"] == ["the node is stopping"] * 4
    assert len(bench.executor.seen) == 2


@pytest.mark.parametrize(
    ("asker_s", "heeded", "ends_s"), [(None, True, 230), (60, True, 60), (900, True, 230), (60, False, 230)]
)
def test_a_job_is_given_up_when_its_asker_waits_no_longer(asker_s: float | None, heeded: bool, ends_s: float) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(policy=replace(POLICY, job_deadline_s=230, heeds_job_limits=heeded))
        bench.executor.plan(NEVER)
        running = runner(bench)
        running.start(job("a")._replace(time_limit_s=asker_s), SOURCE)
        await asyncio.sleep(ends_s - 1)
        assert running.busy == 1
        await asyncio.sleep(2)
        assert error_of(bench, "a") == f"not done within {ends_s} s"

    scenario()


@in_virtual_time
async def test_a_traced_job_tells_its_engine_where_it_stands() -> None:
    class Drawn:
        def context(self, key: JobKey) -> TraceContext | None:
            return TraceContext(1, 2) if key.job == "a" else None

    bench = Bench()
    around = replace(bench.around(), traces=Drawn())
    running = JobRunner(spec(), around, lambda: None)
    for name in "ab":
        running.start(job(name), SOURCE)
    await asyncio.sleep(2)
    assert [payload.trace for payload in bench.executor.seen] == [TraceContext(1, 2), None]


@pytest.mark.parametrize("end_of", ["deadline", "stop"])
def test_a_job_that_ends_in_the_very_turn_of_its_end_is_answered_once(end_of: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench(policy=replace(POLICY, job_deadline_s=10 if end_of == "deadline" else 230))
        running = runner(bench)
        for name in "abc":
            # On either side of the deadline in the order of timers, and just before it.
            bench.executor.plan(After(9.999999 if name == "c" else 10))
            if name == "b" and end_of == "stop":
                asyncio.get_running_loop().call_later(10, running.stop, "stopped")
            running.start(job(name), SOURCE)
            await asyncio.sleep(0)
        await asyncio.sleep(20)
        assert running.busy == 0
        assert sorted(pending(bench)) == ["a", "b", "c"]
        assert len(bench.events.of(JobEnded)) == 3
        assert isinstance(pending(bench)[JobId("c")].outcome, Success)

    scenario()


@in_virtual_time
async def test_an_executor_may_stop_its_own_node() -> None:
    bench = Bench()
    running = runner(bench)

    class Stopping(ScriptedExecutor):
        async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
            running.stop("stopped from within")
            return await super().execute(payload, partials)

    bench.executor = Stopping(1)
    running = runner(bench)
    running.start(job("a"), SOURCE)
    await asyncio.sleep(1)
    assert running.busy == 0
    assert error_of(bench, "a") == "stopped from within"


@in_virtual_time
async def test_an_executor_that_stops_its_own_node_and_is_done_leaves_nothing_behind() -> None:
    bench = Bench()

    class Stopping(ScriptedExecutor):
        async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
            running.stop("stopped from within")
            return Generation("done", "m", self.name)

    bench.executor = Stopping()
    bench.outbox.put_s = 1
    running = runner(bench)
    running.start(job("a"), SOURCE)
    await asyncio.sleep(2)
    assert isinstance(pending(bench)[JobId("a")].outcome, Success)
    assert len(bench.events.of(JobEnded)) == 1


class Stubborn(ScriptedExecutor):
    """Ignores that it is to stop, for a while."""

    def __init__(self, seconds: float, deaf_s: float) -> None:
        super().__init__(seconds)
        self._deaf_s = deaf_s

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        end = asyncio.get_running_loop().time() + self._deaf_s
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return await super().execute(payload, partials)


@in_virtual_time
async def test_an_executor_that_is_not_to_be_stopped_is_answered_for() -> None:
    bench = Bench()
    bench.executor = Stubborn(0, deaf_s=1000)
    running = runner(bench)
    running.start(job("a"), SOURCE)
    await asyncio.sleep(1)
    running.stop("the node is stopping")
    await asyncio.sleep(10)
    assert running.busy == 1
    started = bench.now
    await running.abandon()
    assert bench.now - started <= 1
    await asyncio.sleep(0.1)
    assert error_of(bench, "a") == "the node is stopping"
    assert [event.error for event in bench.events.of(JobEnded)] == ["the node is stopping"]
    assert bench.events.of(ResultLost) == []
    await asyncio.sleep(1000)
    assert len(pending(bench)) == 1


@in_virtual_time
async def test_what_the_disk_takes_at_the_last_moment_is_not_lost() -> None:
    bench = Bench()
    running = runner(bench)
    bench.outbox.failing = StorageUnavailable("no space left")
    running.start(job("a"), SOURCE)
    await asyncio.sleep(10)
    bench.outbox.failing = None
    await running.abandon()
    await asyncio.sleep(0.1)
    assert isinstance(pending(bench)[JobId("a")].outcome, Success)
    assert bench.events.of(ResultLost) == []
    assert len(bench.events.of(JobEnded)) == 1


@pytest.mark.parametrize("slow_s", [0.0, 60.0])
@pytest.mark.parametrize("recovers", [False, True])
def test_what_the_disk_does_not_take_is_left_to_the_sender(slow_s: float, recovers: bool) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        running = runner(bench)
        bench.outbox.failing = StorageUnavailable("no space left")
        for each in jobs("ab"):
            running.start(each, SOURCE)
        await asyncio.sleep(10)
        bench.outbox.put_s = slow_s
        started = bench.now
        await running.abandon()
        assert bench.now - started <= 1
        assert running.busy == 0
        assert bench.events.of(ResultLost) == []
        if recovers:
            bench.outbox.failing = None
        stop = Signal()  # The sender's own tries end with it.
        asyncio.get_running_loop().call_later(200, stop.set)
        await bench.sender.run(stop)
        told = ResultLost, JobEnded
        lost, ended = ([event.key.job for event in bench.events.of(kind)] for kind in told)
        assert (sorted(lost), sorted(ended)) == (([], ["a", "b"]) if recovers else (["a", "b"], []))

    scenario()


@in_virtual_time
async def test_a_put_under_way_is_finished_by_the_sender_and_not_told_to_be_lost() -> None:
    bench = Bench()
    async with bench.sending():
        running = runner(bench)
        bench.outbox.put_s = 0.2
        running.start(job("a"), SOURCE)
        await asyncio.sleep(1.1)
        await running.abandon()
        await asyncio.sleep(1)
        assert bench.events.of(ResultLost) == []
        assert len(bench.events.of(JobEnded)) == 1
        assert bench.sender.keeping(bench.events.of(JobClaimed)[0].key) is Keeping.PENDING


@in_virtual_time
async def test_a_defect_on_the_way_to_the_disk_frees_the_slot_and_tells_of_the_loss() -> None:
    bench = Bench()
    bench.outbox.failing = RuntimeError("planted")  # type: ignore[assignment]
    running = runner(bench)
    running.start(job("a"), SOURCE)
    await asyncio.sleep(2)
    assert running.busy == 0
    assert [event.node for event in bench.events.of(Crash)] == ["n1"]
    assert [event.reason for event in bench.events.of(ResultLost)] == ["a defect of the program ended the job"]


def test_a_job_is_shown_without_its_secrets_and_its_prompt_is_in_no_event() -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        running = runner(bench)
        running.start(Job(JobId("a"), job("a", "a private prompt").payload, receipt=job("a").receipt), SOURCE)
        await asyncio.sleep(2)
        told = repr(bench.events.events)
        assert "private" not in told
        assert "developer-key" not in told

    scenario()


class AtOnce(ScriptedExecutor):
    """Has its answers at once, unless it is told otherwise."""

    instant: bool | Exception = True

    def answer_now(self, payload: Payload) -> Generation | None:
        if isinstance(self.instant, Exception):
            raise self.instant
        assert isinstance(payload, ChatPayload)
        self.seen.append(payload)
        return Generation(f"at once to {payload.prompt}", payload.model, self.name) if self.instant else None


@in_virtual_time
async def test_a_job_that_takes_no_time_is_answered_on_the_spot_and_takes_no_slot() -> None:
    bench = Bench()
    bench.executor = AtOnce()
    running = runner(bench)
    assert running.start(job("a", max_output=5000), SOURCE)
    assert running.busy == 0
    assert pending(bench)[JobId("a")].outcome == Success(Generation("at once to hello", "m", "scripted"))
    assert [payload.max_output for payload in bench.executor.seen] == [4096]
    assert [type(event) for event in bench.events.events] == [JobClaimed, JobEnded]
    assert bench.events.of(JobEnded)[0][:4] == (pending(bench)[JobId("a")].key, "scripted", "m", 0.0)
    assert not running.start(job("a"), SOURCE)
    assert [event.reason for event in bench.events.of(JobSkipped)] == ["its result waits to be sent"]


@in_virtual_time
async def test_a_job_that_takes_no_time_waits_for_a_slow_disk_in_its_slot_with_the_same_answer() -> None:
    bench = Bench()
    bench.executor, bench.outbox.put_s = AtOnce(), 3.0
    running = runner(bench)
    assert running.start(job("a"), SOURCE)
    assert (running.busy, pending(bench), bench.events.of(JobEnded)) == (1, {}, [])
    await asyncio.sleep(4)
    assert (running.busy, len(bench.executor.seen)) == (0, 1)
    assert pending(bench)[JobId("a")].outcome == Success(Generation("at once to hello", "m", "scripted"))


@pytest.mark.parametrize("instant", [False, ValueError("planned")])
def test_a_job_that_has_no_answer_at_once_is_run(instant: bool | Exception) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.executor = executor = AtOnce()
        executor.instant = instant
        running = runner(bench)
        assert running.start(job("a"), SOURCE)
        assert running.busy == 1
        await asyncio.sleep(2)
        assert pending(bench)[JobId("a")].outcome == Success(Generation("answer to hello", "m", "scripted"))

    scenario()


@in_virtual_time
async def test_a_node_that_was_told_to_stop_answers_nothing_at_once() -> None:
    bench = Bench()
    bench.executor = AtOnce()
    running = runner(bench)
    running.stop("the node is stopping")
    assert running.start(job("a"), SOURCE)
    await asyncio.sleep(0.1)
    assert error_of(bench, "a") == "the node is stopping"
    assert bench.executor.seen == []
