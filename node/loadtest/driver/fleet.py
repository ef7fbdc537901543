"""The population of a load test: nodes by their numbers in the plan, each with its lives one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.states import Life as LifeState
from node.loadtest.driver.behaviour import Behaviour
from node.loadtest.driver.identities import Identities
from node.loadtest.driver.life import Ground, Life, forget_results
from node.runtime.signals import Signal

_AT_ONCE: Final = 50
"""Nodes that are told to stop between two turns of the event loop."""

Crashed: TypeAlias = Callable[[list[NodeId]], object]
"""Told of nodes that have just been ended without goodbye."""


class _Seat:
    """A node's place: who sits there, and who is to."""

    __slots__ = ("behaviour", "is_wanted", "life", "lives", "spec")

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.behaviour = Behaviour()
        self.life: Life | None = None
        self.lives = 0
        self.is_wanted = False
        """Whether the plan's population includes it now."""


class LoadFleet:
    """Starts, stops and kills nodes. A node's next life begins when its former one is over, unless that crashed."""

    def __init__(self, identities: Identities, ground: Ground, crashed: Crashed) -> None:
        self._identities = identities
        self._ground = ground
        self._crashed = crashed
        self._seats: dict[int, _Seat] = {}
        self._living = 0
        self.refused = 0
        """Nodes whose secret or identity the gateway denied for good."""
        self._nobody = Signal()
        self._is_ending = False

    def __len__(self) -> int:
        return self._living

    @property
    def living(self) -> list[NodeId]:
        """Those that live now."""
        return [life.node_id for life in self._lives()]

    @property
    def names(self) -> list[NodeId]:
        """All that were ever told to live."""
        return [seat.spec.node_id for seat in self._seats.values()]

    @property
    def is_busy(self) -> bool:
        """Whether any node works on a job."""
        return any(life.node.busy_slots for life in self._lives())

    @property
    def offered(self) -> set[str]:
        """The models of all nodes that live."""
        return {model for seat in self._seats.values() if seat.life is not None for model in seat.spec.models}

    def start(self, node: int) -> None:
        """Have a node live from now on, or as soon as its former life has ended."""
        seat = self._seat(node)
        seat.is_wanted = True
        if seat.life is None:
            self._begin(node, seat)

    def stop(self, node: int) -> None:
        """Have a node end in good order; one that crashed does not come back."""
        seat = self._seat(node)
        seat.is_wanted = False
        if seat.life is not None:
            seat.life.drain()

    async def kill(self, nodes: Iterable[int]) -> None:
        """End nodes without goodbye. They are still wanted, but nobody else than `revive` brings them back."""
        gone: list[NodeId] = []
        for node in nodes:
            seat = self._seat(node)
            if seat.life is not None:
                gone.append(seat.life.node_id)
                life, seat.life = seat.life, None
                self._living -= 1
                life.crash()
        self._crashed(gone)
        await forget_results(self._ground.outbox, set(gone))

    def revive(self, nodes: Iterable[int]) -> None:
        """Start those again that crashed and that the plan wants still."""
        for node in nodes:
            seat = self._seat(node)
            if seat.is_wanted and seat.life is None:
                self._begin(node, seat)

    def behaviours(self, nodes: Iterable[int]) -> list[Behaviour]:
        """How these nodes behave, to be changed."""
        return [self._seat(node).behaviour for node in nodes]

    async def drain(self) -> None:
        """Have all nodes end in good order; none starts any more. Returns when all have been told."""
        self._is_ending = True
        for place, life in enumerate(list(self._lives()), start=1):
            life.drain()
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def abort(self) -> None:
        """Have all nodes end at once; none starts any more."""
        self._is_ending = True
        for life in list(self._lives()):
            life.abort()

    async def ended(self, timeout_s: float) -> bool:
        """After `drain` or `abort`: wait until no node lives, ``timeout_s`` at most; whether that is so."""
        return not self._living or await self._nobody.wait(timeout_s)

    def _lives(self) -> Iterator[Life]:
        return (seat.life for seat in self._seats.values() if seat.life is not None)

    def _seat(self, node: int) -> _Seat:
        seat = self._seats.get(node)
        if seat is None:
            seat = self._seats[node] = _Seat(self._identities.spec(node))
        return seat

    def _begin(self, node: int, seat: _Seat) -> None:
        if self._is_ending:
            return
        life = seat.life = Life(node, seat.spec, seat.lives, seat.behaviour, self._ground)
        seat.lives += 1
        self._living += 1
        life.start(self._ended)

    def _ended(self, life: Life) -> None:
        seat = self._seats[life.place]
        if seat.life is not life:
            return
        seat.life = None
        self._living -= 1
        self.refused += life.node.life is LifeState.FAILED
        # A node that ended although nobody told it to was refused for good.
        if seat.is_wanted and life.is_stopping:
            self._begin(life.place, seat)
        if self._is_ending and not self._living:
            self._nobody.set()
