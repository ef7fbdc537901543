from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.events import Crash, Notice, ProxyAssigned, ProxyChecked
from node.domain.ids import NodeId
from node.domain.policies import ProxyPolicy
from node.domain.proxies import ProxyAddress
from node.monitors.proxy_monitor import Assign, ProxyMonitor
from node.monitors.proxy_pool import Census
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.monitors.echo import DIRECT, EchoWorld, Way, proxy

POLICY = ProxyPolicy(check_s=10.0, recheck_s=300.0, failures=3, cool_down_s=60.0, cool_down_cap_s=200.0, retry_s=5.0)


def node(number: int) -> NodeId:
    return NodeId(f"node-{number}")


class Bench:
    def __init__(self, proxies: int = 0, *, assign: Assign = "auto", concurrency: int = 16) -> None:
        self.world = EchoWorld()
        self.sink = RecordingSink()
        self.monitor = ProxyMonitor(
            self.world,
            POLICY,
            VirtualClock(),
            random.Random(1),
            self.sink,
            everybodys=[proxy(number) for number in range(1, proxies + 1)],
            assign=assign,
            concurrency=concurrency,
        )

    def break_(self, *numbers: int, error: str = "connection refused") -> None:
        for number in numbers:
            self.world.ways[proxy(number)] = Way(error=error)

    def mend(self, *numbers: int) -> None:
        for number in numbers:
            self.world.ways.pop(proxy(number), None)

    async def lease(self, number: int, own: ProxyAddress | None = None) -> ProxyAddress | None:
        async with asyncio.timeout(10_000):
            return await self.monitor.lease(node(number), own)


@in_virtual_time
async def test_every_node_gets_a_proxy_of_its_own_while_there_are_free_ones() -> None:
    bench = Bench(5)
    leased = await asyncio.gather(*(bench.lease(number) for number in range(5)))
    assert sorted(map(str, leased)) == sorted(str(proxy(number)) for number in range(1, 6))
    assert len(bench.sink.of(ProxyAssigned)) == 5
    assert bench.monitor.census() == Census(total=5, good=5, bad=0, set_aside=0, unknown=0, in_use=5)


@in_virtual_time
async def test_then_they_are_shared_evenly() -> None:
    bench = Bench(3)
    leased = await asyncio.gather(*(bench.lease(number) for number in range(9)))
    assert set(Counter(leased).values()) == {3}


@in_virtual_time
async def test_bad_ones_are_passed_over_and_told() -> None:
    bench = Bench(4)
    bench.break_(1, 2)
    bench.world.ways[proxy(3)] = Way(address=DIRECT)
    assert await bench.lease(0) == proxy(4)
    errors = {event.proxy: event.error for event in bench.sink.of(ProxyChecked)}
    assert errors == {
        str(proxy(1)): "connection refused",
        str(proxy(2)): "connection refused",
        str(proxy(3)): "it shows the direct address",
        str(proxy(4)): "",
    }
    assert not any("password" in repr(event) for event in bench.sink.events)


@in_virtual_time
async def test_a_lease_waits_until_there_is_a_good_one_and_never_goes_directly() -> None:
    bench = Bench(2)
    bench.break_(1, 2)
    task = asyncio.create_task(bench.lease(0))
    await asyncio.sleep(30)
    assert not task.done()
    bench.mend(2)
    assert await task == proxy(2)
    assert bench.world.asked[None] == 1


@in_virtual_time
async def test_a_proxy_that_goes_on_failing_is_asked_ever_less_often() -> None:
    bench = Bench(1)
    bench.break_(1)
    task = asyncio.create_task(bench.lease(0))
    await asyncio.sleep(20)
    assert bench.monitor.census().set_aside == 1
    await asyncio.sleep(3600)
    # three a round: 5 s apart, then 60, 120, 200, 200 … s of rest
    assert bench.world.asked[proxy(1)] == pytest.approx(3 * (2 + 3480 / 215), rel=0.15)
    bench.mend(1)
    assert await task == proxy(1)
    task.cancel()


@in_virtual_time
async def test_what_the_echo_service_cannot_tell_is_not_blamed_on_proxies() -> None:
    bench = Bench(2)
    bench.world.ways[None] = Way(error="connection refused")
    tasks = [asyncio.create_task(bench.lease(number)) for number in range(2)]
    await asyncio.sleep(100)
    [notice] = bench.sink.of(Notice)
    assert notice.text == "proxies cannot be checked: the echo service does not answer directly: connection refused"
    assert bench.sink.of(ProxyChecked) == []
    assert bench.monitor.census().unknown == 2
    assert bench.world.asked[None] <= 100 / POLICY.retry_s + 1
    bench.world.ways[None] = Way()
    assert set(await asyncio.gather(*tasks)) == {proxy(1), proxy(2)}


@in_virtual_time
async def test_a_report_makes_the_node_rotate_and_enough_of_them_set_the_proxy_aside() -> None:
    bench = Bench(2)
    first = await bench.lease(0)
    bench.monitor.report(node(0), ok=False, reason="HTTP 502")
    second = await bench.lease(0)
    assert {first, second} == {proxy(1), proxy(2)}
    assert bench.sink.of(ProxyChecked)[1].error == "node-0: HTTP 502"

    bad = first
    for _ in range(2):
        await asyncio.sleep(POLICY.retry_s)
        bench.monitor.release(node(0))
        assert await bench.lease(1, bad) == bad
        bench.monitor.report(node(1), ok=False)
        bench.monitor.release(node(1))
    assert bench.monitor.census().set_aside == 1
    bench.monitor.report(node(1), ok=False)
    assert await bench.lease(1, bad) == second


@in_virtual_time
async def test_good_reports_make_up_for_bad_ones_and_good_checks_do_not() -> None:
    bench = Bench(1)
    for ok in (False, False, True, False, False):
        await bench.lease(0)
        bench.monitor.report(node(0), ok=ok)
        await asyncio.sleep(POLICY.retry_s)
    assert bench.monitor.census().set_aside == 0
    await bench.lease(0)
    bench.monitor.report(node(0), ok=False)
    assert bench.monitor.census().set_aside == 1


@in_virtual_time
async def test_a_check_serves_all_who_wait_for_it_and_is_remembered() -> None:
    bench = Bench(1)
    await asyncio.gather(*(bench.lease(number) for number in range(20)))
    assert bench.world.asked[proxy(1)] == 1
    await asyncio.sleep(POLICY.recheck_s - 1)
    await bench.lease(0)
    assert bench.world.asked[proxy(1)] == 1
    await asyncio.sleep(1)
    await bench.lease(0)
    assert bench.world.asked[proxy(1)] == 2


@in_virtual_time
async def test_reliable_and_fast_proxies_come_first() -> None:
    bench = Bench(3)
    for number, takes_s in ((1, 3.0), (2, 0.2), (3, 1.0)):
        bench.world.ways[proxy(number)] = Way(address=f"10.0.0.{number}", takes_s=takes_s)
    for number in range(3):
        await bench.lease(number)
    for number in range(3):
        bench.monitor.release(node(number))
    assert [await bench.lease(number) for number in range(3)] == [proxy(2), proxy(3), proxy(1)]


@in_virtual_time
async def test_a_nodes_own_proxy_is_preferred_while_it_is_good() -> None:
    bench = Bench(2)
    own = proxy(9)
    assert await bench.lease(0, own) == own
    bench.monitor.report(node(0), ok=False, reason="timed out")
    assert await bench.lease(0, own) == proxy(1)
    await asyncio.sleep(POLICY.retry_s)
    assert await bench.lease(0, own) == own


@in_virtual_time
async def test_own_proxies_are_not_given_to_others() -> None:
    bench = Bench(1)
    await bench.lease(0, proxy(9))
    bench.monitor.release(node(0))
    leased = [await bench.lease(number) for number in range(1, 4)]
    assert set(leased) == {proxy(1)}


@in_virtual_time
async def test_two_nodes_that_name_one_proxy_share_it_only_when_no_other_is_free() -> None:
    bench = Bench(1)
    own = proxy(9)
    assert [await bench.lease(number, own) for number in range(3)] == [own, proxy(1), own]


@in_virtual_time
async def test_by_the_roster_alone_nobody_else_stands_in() -> None:
    bench = Bench(2, assign="roster")
    own = proxy(9)
    assert await bench.lease(0, None) is None
    bench.break_(9)
    task = asyncio.create_task(bench.lease(1, own))
    await asyncio.sleep(60)
    assert not task.done()
    bench.mend(9)
    assert await task == own
    assert bench.world.asked[proxy(1)] == 0


@in_virtual_time
async def test_no_proxies_at_all_is_a_setting() -> None:
    bench = Bench(2, assign="none")
    assert await bench.lease(0, proxy(9)) is None
    assert await bench.lease(1) is None
    assert not bench.world.asked


@in_virtual_time
async def test_a_new_lease_and_a_release_end_the_former_one() -> None:
    bench = Bench(2)
    for _ in range(5):
        await bench.lease(0)
        assert bench.monitor.census().in_use == 1
    bench.monitor.release(node(0))
    bench.monitor.release(node(0))
    assert bench.monitor.census().in_use == 0


@in_virtual_time
async def test_a_cancelled_lease_holds_nothing_and_its_check_still_serves_others() -> None:
    bench = Bench(1)
    bench.world.ways[proxy(1)] = Way(address="10.0.0.1", takes_s=2.0)
    first = asyncio.create_task(bench.lease(0))
    second = asyncio.create_task(bench.lease(1))
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await second == proxy(1)
    assert bench.world.asked[proxy(1)] == 1
    assert bench.monitor.census().in_use == 1
    assert bench.world.open_transports == 0


@in_virtual_time
async def test_proxies_in_use_are_checked_again_in_time() -> None:
    bench = Bench(3)
    await bench.lease(0)
    stop = Signal()
    task = asyncio.create_task(bench.monitor.run(stop))
    bench.break_(1)
    await asyncio.sleep(POLICY.recheck_s + 10)
    assert bench.sink.of(ProxyChecked)[-1].error == "connection refused"
    assert bench.world.asked[proxy(2)] == 0
    bench.mend(1)
    await asyncio.sleep(30)
    assert bench.monitor.census().good == 1
    stop.set()
    await task


@in_virtual_time
async def test_closing_ends_checks_that_are_under_way() -> None:
    bench = Bench(1)
    bench.world.ways[proxy(1)] = Way(takes_s=9.0)
    task = asyncio.create_task(bench.lease(0))
    await asyncio.sleep(1)
    await bench.monitor.aclose()
    assert bench.world.open_transports == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_virtual_time
async def test_a_defect_in_a_check_is_told_and_leaves_nothing_leased() -> None:
    bench = Bench(1)
    bench.world.ways[proxy(1)] = Way(bug=True)
    with pytest.raises(ZeroDivisionError):
        await bench.lease(0)
    assert bench.monitor.census().in_use == 0
    [crash] = bench.sink.of(Crash)
    assert crash.task == f"proxy check {proxy(1)}"
    bench.mend(1)
    assert await bench.lease(0) == proxy(1)


@in_virtual_time
async def test_the_same_course_of_things_gives_the_same_leases() -> None:
    async def course() -> list[str]:
        bench = Bench(7)
        bench.break_(2, 5)
        leased = []
        for number in range(20):
            leased.append(str(await bench.lease(number)))
            bench.monitor.report(node(number), ok=number % 3 > 0)
        return leased

    assert await course() == await course()


class Crowd:
    """Nodes that come and go, and proxies that break and are mended, at the word of a test."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.tasks: dict[int, asyncio.Task[ProxyAddress | None]] = {}
        self.steps = {
            "lease": self.lease,
            "cancel": self.cancel,
            "release": self.release,
            "good": self.report_good,
            "bad": self.report_bad,
            "break": self.break_,
            "mend": self.mend,
            "wait": self.wait,
        }

    async def lease(self, number: int) -> None:
        await self.cancel(number)
        own = proxy(9) if number == 5 else None
        self.tasks[number] = asyncio.create_task(self._bench.lease(number, own))

    async def cancel(self, number: int) -> None:
        task = self.tasks.pop(number, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def release(self, number: int) -> None:
        await self.cancel(number)
        self._bench.monitor.release(node(number))

    async def report_good(self, number: int) -> None:
        self._bench.monitor.report(node(number), ok=True)

    async def report_bad(self, number: int) -> None:
        self._bench.monitor.report(node(number), ok=False)

    async def break_(self, number: int) -> None:
        self._bench.break_(number % 3 + 1)

    async def mend(self, number: int) -> None:
        self._bench.mend(number % 3 + 1)

    async def wait(self, number: int) -> None:
        await asyncio.sleep(number * 2)


STEPS = st.sampled_from(["lease", "cancel", "release", "good", "bad", "break", "mend", "wait"])


@settings(max_examples=150)
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=60))
@in_virtual_time
async def test_leases_never_leak_and_everybody_gets_one_once_proxies_are_good(steps: list[tuple[str, int]]) -> None:
    bench = Bench(3)
    crowd = Crowd(bench)
    for step, number in steps:
        await crowd.steps[step](number)
    bench.mend(1, 2, 3)
    bound_s = POLICY.cool_down_cap_s + POLICY.check_s + 2 * POLICY.retry_s
    await asyncio.sleep(bound_s)
    assert all(task.done() for task in crowd.tasks.values())
    for number in range(6):
        await crowd.release(number)
    assert bench.monitor.census().in_use == 0
    assert bench.world.open_transports == 0
    await asyncio.sleep(bound_s)
    leased = await asyncio.gather(*(bench.lease(number) for number in range(3)))
    await bench.monitor.aclose()
    assert set(leased) == {proxy(1), proxy(2), proxy(3)}
