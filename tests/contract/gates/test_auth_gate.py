"""What holds for every `AuthGate`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from node.domain.policies import AuthPolicy
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.open_gates import AlwaysHealthy
from node.ports.gates import AuthGate
from tests.support.events import RecordingSink
from tests.support.virtual_time import in_virtual_time

Maker = Callable[[], AuthGate]

GATES: dict[str, Maker] = {
    "always healthy": AlwaysHealthy,
    "monitor": lambda: AuthHealthMonitor(AuthPolicy(), RecordingSink(), random.Random(1)),
}

every_gate = pytest.mark.parametrize("make", GATES.values(), ids=GATES)


@every_gate
@in_virtual_time
async def test_it_is_healthy_before_anybody_has_asked(make: Maker) -> None:
    gate = make()
    async with asyncio.timeout(1):
        await gate.wait_healthy()
    assert gate.healthy


@every_gate
@in_virtual_time
async def test_while_healthy_any_number_of_permits_are_out_at_once(make: Maker) -> None:
    gate = make()
    async with asyncio.timeout(1), gate.permit() as one, gate.permit() as two, gate.permit():
        one.answered()
        two.answered()
    assert gate.healthy


@every_gate
@in_virtual_time
async def test_a_permit_may_be_told_late_twice_or_never(make: Maker) -> None:
    gate = make()
    async with gate.permit() as permit:
        permit.failed("timed out")
        permit.answered()
    permit.failed("late")
    async with gate.permit():
        pass
    assert gate.healthy


@every_gate
@in_virtual_time
async def test_what_goes_wrong_in_the_block_comes_out_of_it(make: Maker) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make().permit():
            raise ZeroDivisionError


@every_gate
@in_virtual_time
async def test_after_any_trouble_a_healthy_service_lets_everybody_in(make: Maker) -> None:
    gate = make()

    async def ask(*, healthy: bool) -> None:
        await gate.wait_healthy()
        async with gate.permit() as permit:
            await asyncio.sleep(0.1)
            permit.answered() if healthy else permit.failed("HTTP 503")

    async with asyncio.timeout(3600):
        await asyncio.gather(*(ask(healthy=False) for _ in range(20)))
        await asyncio.gather(*(ask(healthy=True) for _ in range(20)))
    assert gate.healthy
