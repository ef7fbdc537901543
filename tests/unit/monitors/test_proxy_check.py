from __future__ import annotations

import asyncio

import pytest

from node.domain.policies import ProxyPolicy
from node.monitors.proxy_check import MAX_ECHO_BYTES, ProxyChecker
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.monitors.echo import DIRECT, EchoWorld, Way, proxy

POLICY = ProxyPolicy(check_s=10.0, recheck_s=300.0, retry_s=5.0)


def checker(world: EchoWorld, concurrency: int = 16) -> ProxyChecker:
    return ProxyChecker(world, POLICY, VirtualClock(), concurrency=concurrency)


@pytest.mark.parametrize(
    "body",
    [
        b'{"ip": "10.0.0.1"}',
        b'  {"ip":"10.0.0.1","country":"x"}\n',
        b"10.0.0.1\n",
        b"2001:db8::1",
        b"::ffff:10.0.0.1",
    ],
)
@in_virtual_time
async def test_an_address_is_read_plain_or_as_json(body: bytes) -> None:
    world = EchoWorld()
    world.ways[proxy(1)] = Way(body=body, takes_s=0.25)
    checked = await checker(world).check(proxy(1))
    assert (checked.fault, checked.is_conclusive) == ("", True)
    assert checked.took_s == pytest.approx(0.25)
    assert world.open_transports == 0


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        (Way(address=DIRECT), "it shows the direct address"),
        (Way(body=f"::ffff:{DIRECT}".encode()), "it shows the direct address"),
        (Way(error="proxy http://10.0.0.1: it answered HTTP 407"), "proxy http://10.0.0.1: it answered HTTP 407"),
        (Way(takes_s=11.0), "no whole reply"),
        (Way(status=403), "the echo service answered HTTP 403"),
        (Way(body=b"<html>"), "the echo service answered without an address"),
        (Way(body=b'{"address": "10.0.0.1"}'), "the echo service answered without an address"),
        (Way(body=b'{"ip": null}'), "the echo service answered without an address"),
        (Way(body=b'{"ip"'), "the echo service answered without an address"),
        (Way(body=b"\xff\xfe"), "the echo service answered without an address"),
        (Way(body=b'{"a":' * 200), "the echo service answered without an address"),
        (Way(body=b" " * (MAX_ECHO_BYTES + 1)), "the echo service answered with something long"),
    ],
)
@in_virtual_time
async def test_what_is_wrong_with_a_proxy_is_said(way: Way, fault: str) -> None:
    world = EchoWorld()
    world.ways[proxy(1)] = way
    checked = await checker(world).check(proxy(1))
    assert (checked.fault, checked.is_conclusive) == (fault, True)
    assert world.open_transports == 0


@in_virtual_time
async def test_without_the_direct_address_nothing_is_known_of_a_proxy() -> None:
    world = EchoWorld()
    world.ways[None] = Way(error="connection refused")
    subject = checker(world)
    checked = await subject.check(proxy(1))
    assert not checked.is_conclusive
    assert checked.fault == "the echo service does not answer directly: connection refused"
    assert world.asked[proxy(1)] == 0

    world.ways[None] = Way()
    await asyncio.sleep(POLICY.retry_s)
    assert (await subject.check(proxy(1))).fault == ""


@in_virtual_time
async def test_the_direct_address_is_asked_for_once_and_again_when_it_is_old() -> None:
    world = EchoWorld()
    subject = checker(world)
    await asyncio.gather(*(subject.check(proxy(number)) for number in range(1, 6)))
    assert world.asked[None] == 1
    await asyncio.sleep(POLICY.recheck_s)
    await subject.check(proxy(1))
    assert world.asked[None] == 2


@in_virtual_time
async def test_only_so_many_checks_run_at_once() -> None:
    world = EchoWorld()
    subject = checker(world, concurrency=3)
    await asyncio.gather(*(subject.check(proxy(number)) for number in range(1, 21)))
    assert world.most_under_way == 3


@in_virtual_time
async def test_a_cancelled_check_gives_back_what_it_holds() -> None:
    world = EchoWorld()
    subject = checker(world, concurrency=1)
    for _ in range(3):
        task = asyncio.create_task(subject.check(proxy(1)))
        await asyncio.sleep(0.15)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert world.open_transports == 0
    async with asyncio.timeout(1):
        assert (await subject.check(proxy(1))).fault == ""
