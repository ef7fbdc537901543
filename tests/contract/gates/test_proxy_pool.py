"""What holds for every `ProxyPool`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from node.domain.ids import NodeId
from node.domain.policies import ProxyPolicy
from node.monitors.open_gates import DirectOnly
from node.monitors.proxy_monitor import ProxyMonitor
from node.ports.gates import ProxyPool
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.monitors.echo import EchoWorld, proxy

Maker = Callable[[], ProxyPool]

NODE = NodeId("node-1")


def monitor(*proxies: int) -> ProxyMonitor:
    everybodys = [proxy(number) for number in proxies]
    return ProxyMonitor(
        EchoWorld(), ProxyPolicy(), VirtualClock(), random.Random(1), RecordingSink(), everybodys=everybodys
    )


POOLS: dict[str, Maker] = {"direct only": DirectOnly, "monitor": monitor, "monitor with proxies": lambda: monitor(1, 2)}

every_pool = pytest.mark.parametrize("make", POOLS.values(), ids=POOLS)
without_proxies = pytest.mark.parametrize("make", [DirectOnly, monitor], ids=["direct only", "monitor"])


@without_proxies
@in_virtual_time
async def test_a_node_without_a_proxy_goes_directly_at_once(make: Maker) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await make().lease(NODE, None) is None
    assert loop.time() == started


@every_pool
@in_virtual_time
async def test_words_of_nodes_without_a_lease_do_nothing(make: Maker) -> None:
    pool = make()
    pool.report(NODE, ok=False, reason="timed out")
    pool.report(NODE, ok=True)
    pool.release(NODE)


@every_pool
@in_virtual_time
async def test_a_node_may_lease_report_and_release_again_and_again(make: Maker) -> None:
    pool = make()
    leased = []
    for _ in range(3):
        leased.append(await pool.lease(NODE, None))
        pool.report(NODE, ok=True)
        pool.release(NODE)
        pool.release(NODE)
    assert len(set(leased)) == 1


@every_pool
@in_virtual_time
async def test_a_node_with_a_proxy_of_its_own_never_goes_directly(make: Maker) -> None:
    try:
        leased = await make().lease(NODE, proxy(9))
    except ValueError:
        return
    assert leased == proxy(9)
