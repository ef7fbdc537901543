"""Connections to one origin, shared by all who go there: those at rest, those in use, and what is overdue."""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from typing import Final

from node.domain.errors import TransportError
from node.domain.proxies import ProxyAddress
from node.gateway.fast.connection import Connection
from node.gateway.fast.heads import Origin
from node.gateway.fast.known import KnownHeads
from node.gateway.fast.opening import Opener
from node.runtime.signals import Bell

KEEPALIVE_S: Final = 55.0
"""How long a connection rests at most: below the 60 s after which common load balancers drop it."""

_SWEEP_S: Final = KEEPALIVE_S / 8

MOST_OPENING: Final = 100
"""Connections that are opened at once. After a moment in which the loop stood still all nodes ask together: those beyond
wait for one that was opened for the others, as most of them need none of their own."""

_TICK_S: Final = 0.05
"""How late a time-out can be told. One timer serves all exchanges: one each would cost more than the rest."""


class Overdue(TransportError):
    """An exchange's time was over; who asked says so in full."""


class Pool:
    """Connections to one origin, the one used last first. Implements `node.gateway.fast.connection.Keeper`."""

    __slots__ = (
        *("_busy", "_gone", "_loop", "_opener", "_opening", "_resting", "_sweeper", "_ticker", "_unsent", "_waiting"),
        *("heads", "max_reply_bytes", "origin"),
    )

    def __init__(self, origin: Origin, proxy: ProxyAddress | None, tls: ssl.SSLContext, max_reply_bytes: int) -> None:
        self.origin = origin
        self.max_reply_bytes = max_reply_bytes
        self.heads = KnownHeads()
        self._opener = Opener(self, origin, proxy, tls)
        self._loop = asyncio.get_running_loop()
        self._resting: list[Connection] = []
        """Those that are closed meanwhile stay until they are looked at: to find one would take too long with many."""
        self._busy: dict[Connection, None] = {}
        self._unsent: list[Connection] = []
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ticker: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._gone = Bell()

    def take(self) -> Connection | None:
        """A connection that has been used before and is open; None where there is none."""
        resting = self._resting
        while resting:
            connection = resting.pop()
            if connection.is_open:
                self._begin(connection)
                return connection
            if not connection.is_lost:
                self._busy[connection] = None
                connection.abort()
        return None

    @property
    def is_crowded(self) -> bool:
        """Whether `turn` is to be awaited before `open`."""
        return self._opening >= MOST_OPENING

    async def turn(self) -> Connection | None:
        """Wait until another connection may be opened, or for one that has been used before and is open."""
        while self.is_crowded:
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self._let_one_on()
                raise
            if (connection := self.take()) is not None:
                return connection
        return None

    async def open(self) -> Connection:
        """A new connection.

        Raises:
            ConnectFailed, TlsFailed, ProxyFailed: it could not be opened.
        """
        self._opening += 1
        try:
            connection = await self._opener.open()
        finally:
            self._opening -= 1
            self._let_one_on()
        self._begin(connection)
        return connection

    def flush_soon(self, connection: Connection) -> None:
        """See `Keeper.flush_soon`."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(connection)

    def rest(self, connection: Connection) -> None:
        """See `Keeper.rest`."""
        del self._busy[connection]
        self._resting.append(connection)
        connection.rests_since = self._loop.time()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        if self._waiting:
            self._let_one_on()

    def forget(self, connection: Connection) -> None:
        """See `Keeper.forget`."""
        self._busy.pop(connection, None)
        self._gone.ring()
        self._let_one_on()

    def fail_all(self, owner: object, error: TransportError) -> None:
        """End the exchanges of this owner."""
        for connection in [busy for busy in self._busy if busy.owner is owner]:
            connection.fail(error)

    async def aclose(self) -> None:
        """Close all connections at rest, and wait until all are closed."""
        for connection in self._resting:
            connection.abort()
        while self._busy or not all(connection.is_lost for connection in self._resting):
            await self._gone.wait(None)
        for timer in (self._ticker, self._sweeper):
            if timer is not None:
                timer.cancel()

    def _begin(self, connection: Connection) -> None:
        self._busy[connection] = None
        if self._ticker is None:
            self._ticker = self._loop.call_later(_TICK_S, self._tick)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in _readable(unsent):
            connection.fail_unsent()
        for connection in unsent:
            connection.flush()

    def _let_one_on(self) -> None:
        """Wake one of those who wait for their turn; who has it and does not use it wakes the next."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _tick(self) -> None:
        """End what is overdue."""
        now = self._loop.time()
        for connection in [busy for busy in self._busy if busy.deadline <= now]:
            connection.fail(Overdue())
        self._ticker = self._loop.call_later(_TICK_S, self._tick) if self._busy else None

    def _sweep(self) -> None:
        """Close what has rested for too long."""
        before = self._loop.time() - KEEPALIVE_S
        for connection in self._resting:
            if connection.rests_since <= before:
                connection.abort()
        self._resting = [connection for connection in self._resting if not connection.is_lost]
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._resting else None


def _readable(connections: list[Connection]) -> list[Connection]:
    """Those that were at rest and on which something can be read: they carry no request.

    All are asked at once, since each question is a system call.
    """
    readable = select.poll()
    for connection in connections:
        if connection.was_used:
            readable.register(connection.fd, select.POLLIN)
    found = readable.poll(0)
    if not found:
        return []
    numbers = {fd for fd, _ in found}
    return [connection for connection in connections if connection.was_used and connection.fd in numbers]
