from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.circuit import CIRCUIT_TABLE, Circuit, CircuitInput
from node.domain.errors import IllegalTransition
from node.domain.events import AuthHealthChanged, Event
from node.domain.policies import AuthPolicy
from node.domain.states import Machine
from node.monitors.auth_health import DRIP_S, JITTER, AuthHealthMonitor
from tests.support.events import RecordingSink
from tests.support.virtual_time import in_virtual_time

POLICY = AuthPolicy(failures=3, open_s=10.0, open_cap_s=40.0, release_per_s=10.0)


class Bench:
    """A monitor, a service that is up or down, and callers that ask it."""

    def __init__(self, policy: AuthPolicy = POLICY, sink: RecordingSink | None = None) -> None:
        self.sink = sink or RecordingSink()
        self.gate = AuthHealthMonitor(policy, self.sink, random.Random(1))
        self.up = True
        self.through: list[tuple[float, object]] = []

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def ask(self, name: object = None, takes_s: float = 0.01, *, tell: bool = True) -> None:
        async with self.gate.permit() as permit:
            self.through.append((self.now, name))
            await asyncio.sleep(takes_s)
            if tell:
                permit.answered() if self.up else permit.failed("HTTP 503")

    async def trip(self) -> None:
        self.up = False
        for _ in range(POLICY.failures):
            await self.ask()
        assert self.gate.circuit is Circuit.OPEN
        self.through.clear()

    def start(self, *names: object, takes_s: float = 0.01, tell: bool = True) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.ask(name, takes_s, tell=tell)) for name in names]

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.sink.of(AuthHealthChanged)]


@pytest.mark.parametrize(("state", "input_"), list(product(Circuit, CircuitInput)))
def test_the_circuit_moves_by_its_table_alone(state: Circuit, input_: CircuitInput) -> None:
    machine = Machine(CIRCUIT_TABLE, state)
    if (state, input_) in CIRCUIT_TABLE:
        assert machine.feed(input_) is CIRCUIT_TABLE[state, input_]
    else:
        with pytest.raises(IllegalTransition):
            machine.feed(input_)


def test_from_every_state_an_answer_closes_the_circuit() -> None:
    assert all(CIRCUIT_TABLE[state, CircuitInput.ANSWERED] is Circuit.CLOSED for state in Circuit)


@in_virtual_time
async def test_only_failures_in_a_row_open_it() -> None:
    bench = Bench()
    for up in (False, False, True, False, False, True):
        bench.up = up
        await bench.ask()
    assert bench.gate.healthy
    assert bench.states == []
    await bench.trip()
    assert not bench.gate.healthy
    assert bench.states == ["open"]
    assert bench.sink.of(AuthHealthChanged)[0].reason == "HTTP 503"


@in_virtual_time
async def test_untold_permits_count_as_neither() -> None:
    bench = Bench()
    bench.up = False
    for _ in range(10):
        await bench.ask(tell=False)
    assert bench.gate.healthy


@in_virtual_time
async def test_while_open_nobody_passes_and_then_one_probes() -> None:
    bench = Bench()
    await bench.trip()
    opened = bench.now
    tasks = bench.start("a", "b", "c", takes_s=2.0)
    await asyncio.sleep(POLICY.open_s - 0.1)
    assert bench.through == []
    await asyncio.sleep(1.0)
    assert bench.through == [(opened + POLICY.open_s, "a")]
    assert bench.gate.circuit is Circuit.HALF_OPEN
    bench.up = True
    await asyncio.gather(*tasks)
    assert bench.gate.healthy
    assert bench.states == ["open", "half-open", "closed"]


@in_virtual_time
async def test_failed_probes_double_the_wait_up_to_the_cap_and_success_resets_it() -> None:
    bench = Bench()
    await bench.trip()
    started = bench.now
    tasks = bench.start(*range(6), takes_s=0.0)
    await asyncio.sleep(10 + 20 + 40 + 40 + 40 + 1)
    assert [at - started for at, _ in bench.through] == pytest.approx([10, 30, 70, 110, 150])
    bench.up = True
    await asyncio.gather(*tasks)
    bench.through.clear()
    await bench.trip()
    started = bench.now
    bench.up = True
    await bench.ask()
    assert bench.through[0][0] - started == pytest.approx(POLICY.open_s)


@in_virtual_time
async def test_once_it_is_back_those_who_wait_pass_in_order_and_a_few_a_second() -> None:
    bench = Bench()
    await bench.trip()
    tasks = bench.start(*range(40), takes_s=0.0)
    bench.up = True
    await asyncio.gather(*tasks)
    assert [name for _, name in bench.through] == list(range(40))
    times = [at for at, _ in bench.through][1:]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    gap_s = 1 / POLICY.release_per_s
    assert gap_s * (1 - JITTER) - 1e-6 <= min(gaps) < max(gaps) <= gap_s * (1 + JITTER) + 1e-6
    assert bench.gate.waiting == 0


@in_virtual_time
async def test_who_comes_while_others_are_let_in_joins_the_end_of_the_line() -> None:
    bench = Bench()
    await bench.trip()
    tasks = bench.start(*range(10), takes_s=0.0)
    bench.up = True
    await asyncio.sleep(POLICY.open_s + 0.25)
    assert bench.gate.healthy
    tasks += bench.start("late", takes_s=0.0)
    await asyncio.gather(*tasks)
    assert bench.through[-1][1] == "late"


@in_virtual_time
async def test_a_cancelled_probe_makes_room_at_once_for_the_next() -> None:
    bench = Bench()
    await bench.trip()
    first, second = bench.start("first", "second", takes_s=5.0)
    await asyncio.sleep(POLICY.open_s + 1)
    assert [name for _, name in bench.through] == ["first"]
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [name for _, name in bench.through] == ["first", "second"]
    bench.up = True
    await second
    assert bench.gate.healthy


@in_virtual_time
async def test_a_probe_that_is_cancelled_in_the_moment_it_is_chosen_makes_room() -> None:
    class CancellingSink(RecordingSink):
        def emit(self, event: Event) -> None:
            super().emit(event)
            if isinstance(event, AuthHealthChanged) and event.state == "half-open":
                first.cancel()

    bench = Bench(sink=CancellingSink())
    await bench.trip()
    opened = bench.now
    first, second = bench.start("first", "second")
    await asyncio.sleep(POLICY.open_s - 0.5)
    bench.up = True
    await second
    assert bench.through == [(opened + POLICY.open_s, "second")]
    assert bench.gate.healthy
    assert first.cancelled()


@in_virtual_time
async def test_waiters_that_are_being_cancelled_are_passed_over() -> None:
    bench = Bench()
    async with AsyncExitStack() as blocks:
        old = await blocks.enter_async_context(bench.gate.permit())
        await bench.trip()
        asking = bench.start("a", "b")
        waiting = [asyncio.create_task(bench.gate.wait_healthy()) for _ in range(2)]
        await asyncio.sleep(1)
        asking[0].cancel()
        waiting[0].cancel()
        old.answered()
        bench.up = True
        await asyncio.sleep(1)
        assert [task.cancelled() for task in (*asking, *waiting)] == [True, False, True, False]
        await asyncio.gather(asking[1], waiting[1])
        assert bench.gate.waiting == 0


@in_virtual_time
async def test_a_chosen_probe_passes_over_those_who_are_being_cancelled() -> None:
    bench = Bench()
    await bench.trip()
    first, second, third = bench.start("first", "second", "third", takes_s=5.0)
    await asyncio.sleep(POLICY.open_s + 1)
    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    bench.up = True
    await third
    assert [name for _, name in bench.through] == ["first", "third"]


@in_virtual_time
async def test_a_waiter_that_is_cancelled_leaves_the_line() -> None:
    bench = Bench()
    await bench.trip()
    tasks = bench.start(*range(5))
    await asyncio.sleep(1)
    for task in tasks[:4]:
        task.cancel()
    await asyncio.sleep(0)
    assert bench.gate.waiting == 1
    bench.up = True
    await tasks[4]
    assert [name for _, name in bench.through] == [4]


@in_virtual_time
async def test_a_probe_that_hangs_does_not_hold_the_others_for_ever() -> None:
    bench = Bench()
    await bench.trip()
    [hanging, other] = bench.start("hanging", "other", takes_s=10_000)
    await asyncio.sleep(POLICY.open_s + POLICY.open_cap_s + 1)
    assert [name for _, name in bench.through] == ["hanging", "other"]
    for task in (hanging, other):
        task.cancel()
    await asyncio.sleep(0)
    bench.up = True
    await bench.ask()
    assert bench.gate.healthy


@in_virtual_time
async def test_answers_and_failures_of_those_who_asked_before_it_opened() -> None:
    bench = Bench()
    slow = bench.start("slow", takes_s=5.0)
    failing = bench.start("failing", takes_s=2.0)
    await asyncio.sleep(0.1)
    await bench.trip()
    await asyncio.gather(*failing)
    assert bench.states == ["open"]
    bench.up = True
    await asyncio.gather(*slow)
    assert bench.states == ["open", "closed"]


@in_virtual_time
async def test_old_failures_do_not_open_it_again() -> None:
    bench = Bench()
    async with AsyncExitStack() as blocks:
        permits = [await blocks.enter_async_context(bench.gate.permit()) for _ in range(5)]
        await bench.trip()
        bench.up = True
        await bench.ask()
        for permit in permits:
            permit.failed("timed out, long ago")
        assert bench.gate.healthy


@in_virtual_time
async def test_an_old_failure_while_another_probes_changes_nothing() -> None:
    bench = Bench()
    async with AsyncExitStack() as blocks:
        old = await blocks.enter_async_context(bench.gate.permit())
        await bench.trip()
        bench.up = True
        [probe] = bench.start("probe", takes_s=5.0)
        await asyncio.sleep(POLICY.open_s + 1)
        old.failed("timed out, long ago")
        assert bench.gate.circuit is Circuit.HALF_OPEN
        await probe
        assert bench.gate.healthy


@in_virtual_time
async def test_who_waits_for_health_is_let_on_one_by_one_to_probe() -> None:
    bench = Bench()
    await bench.trip()
    started = bench.now
    let_on: list[float] = []

    async def start_a_node() -> None:
        await bench.gate.wait_healthy()
        let_on.append(bench.now - started)

    tasks = [asyncio.create_task(start_a_node()) for _ in range(4)]
    await asyncio.sleep(POLICY.open_s + 1.5 * DRIP_S)
    assert let_on == pytest.approx([POLICY.open_s, POLICY.open_s + DRIP_S])
    bench.up = True
    await bench.ask()
    await asyncio.gather(*tasks)
    assert bench.gate.healthy
    assert let_on[-1] < POLICY.open_s + 3 * DRIP_S


@in_virtual_time
async def test_half_open_with_nobody_waiting_the_next_to_come_probes() -> None:
    bench = Bench()
    await bench.trip()
    await asyncio.sleep(100)
    assert bench.gate.circuit is Circuit.HALF_OPEN
    async with asyncio.timeout(0.001):
        await bench.gate.wait_healthy()
    waiting = asyncio.create_task(bench.gate.wait_healthy())
    bench.up = True
    async with asyncio.timeout(0.1):
        await bench.ask()
    await waiting
    assert bench.gate.healthy


@in_virtual_time
async def test_cancelled_waits_for_health_leave_the_line() -> None:
    bench = Bench()
    await bench.trip()
    tasks = [asyncio.create_task(bench.gate.wait_healthy()) for _ in range(3)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert bench.gate.waiting == 0


@in_virtual_time
async def test_closed_for_good_it_lets_nobody_through() -> None:
    bench = Bench()
    await bench.trip()
    bench.gate.close()
    tasks = bench.start("a")
    await asyncio.sleep(1000)
    assert bench.through == []
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Caller:
    arrives_s: float
    waits_first: bool
    holds_s: float
    tells: bool
    cancelled_s: float | None


seconds = st.integers(0, 120).map(lambda half: half / 2)
callers = st.builds(
    Caller,
    arrives_s=seconds,
    waits_first=st.booleans(),
    holds_s=st.sampled_from([0.0, 0.5, 2.0, 5.0, 10_000.0]),
    tells=st.booleans(),
    cancelled_s=st.none() | seconds,
)
outages = st.lists(st.tuples(seconds, seconds), max_size=3)


@settings(max_examples=200)
@given(crowd=st.lists(callers, max_size=14), outages=outages)
@in_virtual_time
async def test_it_never_stays_shut_when_the_service_is_back(
    crowd: list[Caller], outages: list[tuple[float, float]]
) -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    zero = loop.time()
    back = max((begin + lasts for begin, lasts in outages), default=0.0)

    def up() -> bool:
        return not any(begin <= loop.time() - zero < begin + lasts for begin, lasts in outages)

    async def call(caller: Caller) -> None:
        await asyncio.sleep(caller.arrives_s)
        if caller.waits_first:
            await bench.gate.wait_healthy()
        async with bench.gate.permit() as permit:
            await asyncio.sleep(caller.holds_s)
            if caller.tells:
                permit.answered() if up() else permit.failed("down")

    def cancel_later(task: asyncio.Task[None], caller: Caller) -> None:
        if caller.cancelled_s is not None:
            loop.call_later(caller.cancelled_s, task.cancel)

    tasks = [asyncio.create_task(call(caller)) for caller in crowd]
    for task, caller in zip(tasks, crowd, strict=True):
        cancel_later(task, caller)

    await asyncio.sleep(max(back, 60.0) + 0.25)
    # From here on the service is healthy: whoever waits or comes passes within the waits of every silent probe.
    hanging = sum(caller.holds_s > 100 for caller in crowd)
    bound_s = POLICY.open_cap_s * (1 + hanging) + sum(min(caller.holds_s, 5.0) + DRIP_S for caller in crowd) + 10
    honest = asyncio.create_task(call(Caller(0.0, waits_first=True, holds_s=0.0, tells=True, cancelled_s=None)))
    await asyncio.sleep(bound_s)
    assert honest.done()
    assert bench.gate.healthy
    assert bench.gate.waiting == 0
    for task, caller in zip(tasks, crowd, strict=True):
        if caller.holds_s < 100:
            assert task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_a_fleet_of_a_thousand_asks_little_while_the_service_is_down() -> None:
    bench = Bench(AuthPolicy())
    bench.up = False

    async def node() -> None:
        while not bench.up:
            await bench.ask(takes_s=0.2)
            await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(node()) for _ in range(1000)]
    await asyncio.sleep(1.0)
    bench.through.clear()
    await asyncio.sleep(600)
    assert len(bench.through) <= 8
    bench.up = True
    await asyncio.sleep(AuthPolicy().open_cap_s + 1000 / AuthPolicy().release_per_s * 2)
    assert bench.gate.healthy
    await asyncio.gather(*tasks)
