"""The proxy monitor against tinyproxy and microsocks: the addresses really differ, or it says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from node.domain.events import Notice, ProxyAssigned, ProxyChecked
from node.domain.ids import NodeId
from node.domain.policies import ProxyPolicy
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.monitors.proxy_monitor import ProxyMonitor
from node.runtime.system import SystemClock
from tests.integration.monitors.conftest import PASSWORD, Echo, Start, free_port
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until

ONE, TWO = NodeId("node-1"), NodeId("node-2")

Make = Callable[..., ProxyMonitor]


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def make(echo: Echo, sink: RecordingSink) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def made(*everybodys: ProxyAddress, path: str = "/json", check_s: float = 10.0) -> ProxyMonitor:
            monitor = ProxyMonitor(
                HttpxTransportFactory(client_context()),
                ProxyPolicy(echo_url=echo.url(path), check_s=check_s, retry_s=0.1),
                SystemClock(),
                random.Random(1),
                sink,
                everybodys=everybodys,
            )
            stack.push_async_callback(monitor.aclose)
            return monitor

        yield made


@pytest.fixture(
    params=[
        pytest.param("tinyproxy", marks=pytest.mark.needs_tinyproxy),
        pytest.param("microsocks", marks=pytest.mark.needs_microsocks),
    ]
)
def start(request: pytest.FixtureRequest) -> Start:
    starter: Start = request.getfixturevalue(request.param)
    return starter


def errors(sink: RecordingSink) -> dict[str, str]:
    return {event.proxy: event.error for event in sink.of(ProxyChecked)}


@pytest.mark.parametrize("path", ["/json", "/text"])
async def test_a_good_proxy_leaves_by_another_address(
    make: Make, start: Start, echo: Echo, sink: RecordingSink, path: str
) -> None:
    proxy = await start("127.0.0.51")
    monitor = make(proxy, path=path)
    assert await monitor.lease(ONE, None) == proxy
    assert sorted(echo.asked) == ["127.0.0.1", "127.0.0.51"]
    assert sink.of(ProxyAssigned) == [ProxyAssigned(ONE, str(proxy))]
    [checked] = sink.of(ProxyChecked)
    assert checked.error == ""
    assert 0 < checked.took_s < 10


async def test_a_proxy_that_shows_the_direct_address_is_not_used(make: Make, start: Start, sink: RecordingSink) -> None:
    transparent, good = await start(""), await start("127.0.0.52")
    assert await make(transparent, good).lease(ONE, None) == good
    assert errors(sink) == {str(transparent): "it shows the direct address", str(good): ""}


async def test_wrong_password_dead_and_silent_proxies_are_passed_over_and_told_without_secrets(
    make: Make, start: Start, silent_port: int, sink: RecordingSink
) -> None:
    good = await start("127.0.0.53")
    denied = replace(good, password=Secret("not-the-password"))
    dead = replace(good, port=free_port())
    silent = replace(good, port=silent_port)
    monitor = make(silent, dead, denied, good, check_s=2.0)
    assert await monitor.lease(ONE, None) == good
    told = sink.of(ProxyChecked)
    assert [bool(event.error) for event in told] == [True, True, True, False]
    assert [event.proxy for event in told] == [str(proxy) for proxy in (silent, dead, denied, good)]
    assert told[0].took_s >= 2.0
    census = monitor.census()
    assert (census.total, census.good, census.bad, census.in_use) == (4, 1, 3, 1)
    assert not any(text in repr(sink.events) for text in (PASSWORD, "not-the-password"))


async def test_a_nodes_own_proxy_is_used_and_rotated_away_from_when_it_fails(make: Make, start: Start) -> None:
    own, everybodys = await start("127.0.0.54"), await start("127.0.0.55")
    monitor = make(everybodys)
    assert await monitor.lease(ONE, own) == own
    assert await monitor.lease(TWO, None) == everybodys
    monitor.report(ONE, ok=False, reason="broken")
    assert await monitor.lease(ONE, own) == everybodys


async def test_a_lease_waits_until_the_echo_service_and_the_proxy_are_there(
    make: Make, start: Start, echo: Echo, sink: RecordingSink
) -> None:
    proxy = await start("127.0.0.56")
    echo.is_down = True
    lease = asyncio.create_task(make(proxy).lease(ONE, None))
    await wait_until(lambda: sink.of(Notice))
    assert "proxies cannot be checked" in sink.of(Notice)[0].text
    assert not lease.done()
    echo.is_down = False
    assert await lease == proxy


@pytest.mark.needs_tinyproxy
@pytest.mark.needs_microsocks
async def test_both_kinds_make_one_pool(make: Make, tinyproxy: Start, microsocks: Start, echo: Echo) -> None:
    proxies = {await tinyproxy("127.0.0.57"), await microsocks("127.0.0.58")}
    monitor = make(*proxies)
    assert {await monitor.lease(ONE, None), await monitor.lease(TWO, None)} == proxies
    assert sorted(echo.asked) == ["127.0.0.1", "127.0.0.57", "127.0.0.58"]
