"""Holds nodes back while the auth service is down, and lets them back in, a few at a time, when it returns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, assert_never

from node.domain.circuit import CIRCUIT_TABLE, Circuit, CircuitInput
from node.domain.events import AuthHealthChanged
from node.domain.policies import AuthPolicy
from node.domain.states import Machine
from node.ports.clock import Random
from node.ports.events import EventSink
from node.ports.gates import AuthPermit

DRIP_S: Final = 1.0
"""While a probe may go but nobody asks for a permit: seconds between those let on by `AuthHealthMonitor.wait_healthy`.

The first of them is on its way to become the probe; the next goes in case it never gets there.
"""

JITTER: Final = 0.3
"""Share (0 to 1) by which the gap between two that are let through varies."""


class _Permit:
    """See `node.ports.gates.AuthPermit`. Only the first word counts, and none after it was given back."""

    __slots__ = ("_gate", "epoch", "is_spent")

    def __init__(self, gate: AuthHealthMonitor, epoch: int) -> None:
        self._gate = gate
        self.epoch = epoch
        self.is_spent = False

    def answered(self) -> None:
        if not self.is_spent:
            self.is_spent = True
            self._gate.on_answered()

    def failed(self, reason: str) -> None:
        if not self.is_spent:
            self.is_spent = True
            self._gate.on_failed(self, reason)

    def give_back(self) -> None:
        if not self.is_spent:
            self.is_spent = True
            self._gate.on_untold(self)


_PermitWaiters: TypeAlias = "OrderedDict[asyncio.Future[_Permit], None]"
_HealthWaiters: TypeAlias = "OrderedDict[asyncio.Future[None], None]"


class AuthHealthMonitor:
    """An `AuthGate` that is a circuit breaker, before step 3 of the protocol.

    It starts closed. ``policy.failures`` failures in a row open it; those of requests from before it last opened do
    not count. After ``policy.open_s`` the first in line for a permit is the probe; its answer closes the circuit, its
    failure opens it for twice as long, up to ``policy.open_cap_s``, and a probe given back untold, or silent for that
    long, makes room for the next. An answer to anyone closes the circuit. Then those who wait go through in their
    order, ``policy.release_per_s`` each second. Every change is one `AuthHealthChanged`.

    A waiter may be cancelled at any time. Use it from the event loop's thread. It holds one timer and no task.
    """

    def __init__(self, policy: AuthPolicy, events: EventSink, random: Random) -> None:
        self._policy = policy
        self._events = events
        self._random = random
        self._machine = Machine(CIRCUIT_TABLE, Circuit.CLOSED)
        self._permit_waiters: _PermitWaiters = OrderedDict()
        self._health_waiters: _HealthWaiters = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._probe: _Permit | None = None
        self._failures = 0
        self._open_s = policy.open_s
        self._epoch = 0

    @property
    def healthy(self) -> bool:
        """See `node.ports.gates.AuthGate.healthy`."""
        return self._machine.state is Circuit.CLOSED

    @property
    def circuit(self) -> Circuit:
        """Where the circuit stands now."""
        return self._machine.state

    @property
    def waiting(self) -> int:
        """How many are held back now, by `permit` and `wait_healthy` together."""
        return len(self._permit_waiters) + len(self._health_waiters)

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[AuthPermit]:
        """See `node.ports.gates.AuthGate.permit`."""
        permit = await self._admit()
        try:
            yield permit
        finally:
            permit.give_back()

    async def wait_healthy(self) -> None:
        """See `node.ports.gates.AuthGate.wait_healthy`."""
        if self.healthy and not self.waiting:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._health_waiters[waiter] = None
        if self.circuit is Circuit.HALF_OPEN and self._timer is None:
            self._offer_probe()
        try:
            await waiter
        finally:
            self._health_waiters.pop(waiter, None)

    def close(self) -> None:
        """Stop the timer, when no node is left: nobody who waits is let through by time any more."""
        self._set_timer(None)

    def on_answered(self) -> None:
        """The service answered somebody; for permits alone."""
        self._failures = 0
        self._feed(CircuitInput.ANSWERED, "the service answers")

    def on_failed(self, permit: _Permit, reason: str) -> None:
        """The service failed the holder of this permit; for permits alone."""
        match self.circuit:
            case Circuit.CLOSED:
                # Those who had asked before the circuit last opened tell nothing new.
                if permit.epoch == self._epoch:
                    self._failures += 1
                    if self._failures >= self._policy.failures:
                        self._open_s = self._policy.open_s
                        self._feed(CircuitInput.TRIPPED, reason)
            case Circuit.HALF_OPEN:
                if permit is self._probe:
                    self._open_s = min(2 * self._open_s, max(self._policy.open_cap_s, self._policy.open_s))
                    self._feed(CircuitInput.PROBE_FAILED, reason)
            case Circuit.OPEN:
                pass
            case _:
                assert_never(self.circuit)

    def on_untold(self, permit: _Permit) -> None:
        """A permit came back without a word; for permits alone."""
        if permit is self._probe:
            self._probe = None
            self._offer_probe()

    async def _admit(self) -> _Permit:
        if self.healthy and not self._permit_waiters:
            return _Permit(self, self._epoch)
        waiter: asyncio.Future[_Permit] = asyncio.get_running_loop().create_future()
        self._permit_waiters[waiter] = None
        if self.circuit is Circuit.HALF_OPEN and self._probe is None:
            self._offer_probe()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().give_back()
            raise
        finally:
            self._permit_waiters.pop(waiter, None)

    def _feed(self, input_: CircuitInput, reason: str) -> None:
        before = self.circuit
        after = self._machine.feed(input_)
        if after is before:
            return
        self._probe = None
        self._failures = 0
        self._set_timer(None)
        match after:
            case Circuit.OPEN:
                self._epoch += 1
                self._set_timer(self._open_s, lambda: self._feed(CircuitInput.ELAPSED, "time for a probe"))
            case Circuit.HALF_OPEN:
                self._offer_probe()
            case Circuit.CLOSED:
                self._release()
            case _:
                assert_never(after)
        self._events.emit(AuthHealthChanged(after.value, reason))

    def _offer_probe(self) -> None:
        """Half-open, and nobody probes: let the first in line do it, or let one on who may come to it."""
        self._set_timer(None)
        while self._permit_waiters:
            waiter, _ = self._permit_waiters.popitem(last=False)
            if not waiter.done():
                self._probe = _Permit(self, self._epoch)
                waiter.set_result(self._probe)
                self._set_timer(max(self._policy.open_cap_s, self._policy.open_s), self._give_probe_up)
                return
        if _let_on(self._health_waiters):
            self._set_timer(DRIP_S, self._offer_probe)

    def _give_probe_up(self) -> None:
        self._probe = None
        self._offer_probe()

    def _release(self) -> None:
        """Closed: let one through, and the next after a gap."""
        self._set_timer(None)
        while self._permit_waiters:
            waiter, _ = self._permit_waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(_Permit(self, self._epoch))
                break
        else:
            _let_on(self._health_waiters)
        if self.waiting:
            gap_s = self._random.uniform(1 - JITTER, 1 + JITTER) / self._policy.release_per_s
            self._set_timer(gap_s, self._release)

    def _set_timer(self, delay_s: float | None, then: Callable[[], None] = lambda: None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay_s is None:
            return

        def fire() -> None:
            self._timer = None
            then()

        self._timer = asyncio.get_running_loop().call_later(delay_s, fire)


def _let_on(waiters: _HealthWaiters) -> bool:
    while waiters:
        waiter, _ = waiters.popitem(last=False)
        if not waiter.done():
            waiter.set_result(None)
            return True
    return False
