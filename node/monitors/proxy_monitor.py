"""Gives nodes proxies that work, and keeps an eye on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Literal, assert_never

from node.domain.events import Notice, ProxyAssigned, ProxyChecked
from node.domain.ids import NodeId
from node.domain.policies import ProxyPolicy
from node.domain.proxies import ProxyAddress
from node.monitors.proxy_check import ProxyChecker
from node.monitors.proxy_pool import Census, Member, ScoredPool
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

Assign = Literal["auto", "roster", "none"]
"""Who goes through which proxy.

``auto``: a node with a proxy of its own through that, or through one of everybody's while it is bad; a node
without one through one of everybody's, or directly if there are none at all. ``roster``: each node through its
own or directly, as the roster says. ``none``: every node directly, whatever the roster says.
"""

_LOOK_S: Final = 5.0
"""How often `ProxyMonitor.run` looks for checks that are due."""


class ProxyMonitor:
    """A `ProxyPool` of verified proxies, scored by how they fare.

    A node that is to use a proxy never gets None: it waits, also while the echo service does not answer directly,
    so that nothing can be verified; a `Notice` tells of that. One call of `lease` at a time for a node.
    """

    def __init__(
        self,
        transports: TransportFactory,
        policy: ProxyPolicy,
        clock: Clock,
        random: Random,
        events: EventSink,
        *,
        everybodys: Iterable[ProxyAddress] = (),
        assign: Assign = "auto",
        concurrency: int = 16,
    ) -> None:
        """``everybodys`` are the proxies of the proxy file, in its order; ``concurrency`` checks run at once."""
        self._policy = policy
        self._clock = clock
        self._random = random
        self._events = events
        self._assign = assign
        self._pool = ScoredPool(policy, everybodys)
        self._checker = ProxyChecker(transports, policy, clock, concurrency=concurrency)
        self._tasks = TaskOwner(events.emit)
        self._checks: dict[Member, asyncio.Task[bool]] = {}
        self._echo_is_missing = False

    async def lease(self, node: NodeId, own: ProxyAddress | None) -> ProxyAddress | None:
        """See `node.ports.gates.ProxyPool.lease`. A good check of the last ``policy.recheck_s`` is not repeated."""
        self._pool.release(node)
        if not self._needs_proxy(own):
            return None
        others = self._assign == "auto"
        while True:
            now = self._clock.monotonic()
            member = self._pool.pick(own, now, others=others)
            if member is None:
                await self._pause(self._pool.next_at(own, others=others) - now)
                continue
            self._pool.lease(node, member)
            try:
                is_good = await self._verify(member)
            except BaseException:
                self._pool.release(node)
                raise
            if is_good:
                self._events.emit(ProxyAssigned(node, str(member.address)))
                return member.address
            self._pool.release(node)
            if self._echo_is_missing:
                await self._pause(self._policy.retry_s)

    def report(self, node: NodeId, *, ok: bool, reason: str = "") -> None:
        """See `node.ports.gates.ProxyPool.report`; does nothing for a node without a lease."""
        member = self._pool.leased(node)
        if member is None:
            return
        self._pool.fared(member, self._clock.monotonic(), ok=ok)
        if not ok:
            self._events.emit(ProxyChecked(str(member.address), 0.0, f"{node}: {reason or 'it failed'}"))

    def release(self, node: NodeId) -> None:
        """See `node.ports.gates.ProxyPool.release`."""
        self._pool.release(node)

    def census(self) -> Census:
        """How the proxies stand; those of single nodes count once they have been asked for."""
        return self._pool.census(self._clock.monotonic())

    async def run(self, stop: Signal) -> None:
        """Repeat the checks of proxies in use when they are due, until ``stop`` is set; those under way go on then."""
        while not await stop.wait(min(_LOOK_S, self._policy.recheck_s)):
            for member in self._pool.stale_in_use(self._clock.monotonic()):
                self._start_check(member)

    async def aclose(self) -> None:
        """End the checks under way, when no node is left: a `lease` that waits for one is cancelled with it."""
        await self._tasks.cancel()

    def _needs_proxy(self, own: ProxyAddress | None) -> bool:
        match self._assign:
            case "auto":
                return own is not None or self._pool.has_everybodys
            case "roster":
                return own is not None
            case "none":
                return False
            case _:
                assert_never(self._assign)

    async def _pause(self, delay_s: float) -> None:
        """Wait a little longer than this, but not much more than ``policy.retry_s``; jitter spreads the waiters."""
        jitter_s = self._random.uniform(0.0, 0.2 * self._policy.retry_s)
        await asyncio.sleep(min(max(delay_s, 0.0), self._policy.retry_s) + jitter_s)

    async def _verify(self, member: Member) -> bool:
        if self._pool.is_fresh(member, self._clock.monotonic()):
            return True
        # One check serves all who wait for it, and outlives those who are cancelled.
        return await asyncio.shield(self._start_check(member))

    def _start_check(self, member: Member) -> asyncio.Task[bool]:
        task = self._checks.get(member)
        if task is None:

            def ended() -> None:
                del self._checks[member]

            task = self._tasks.start(self._check(member), f"proxy check {member.address}", ended)
            self._checks[member] = task
        return task

    async def _check(self, member: Member) -> bool:
        checked = await self._checker.check(member.address)
        now = self._clock.monotonic()
        if not checked.is_conclusive:
            if not self._echo_is_missing:
                self._events.emit(Notice("proxies", f"proxies cannot be checked: {checked.fault}"))
            self._echo_is_missing = True
            return False
        self._echo_is_missing = False
        if checked.fault:
            self._pool.failed_check(member, now)
        else:
            self._pool.passed_check(member, checked.took_s, now)
        self._events.emit(ProxyChecked(str(member.address), checked.took_s, checked.fault))
        return not checked.fault
