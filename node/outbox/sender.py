"""The one sender of a fleet: hands every kept result to its source, however often that takes."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from node.domain.errors import StorageError, StorageUnavailable
from node.domain.events import Notice, ResultBuried, ResultLost, ResultUnsafe
from node.domain.ids import JobKey, NodeId
from node.domain.policies import OutboxPolicy
from node.domain.results import FinishedJob
from node.outbox import TOPIC
from node.outbox.dispatch import Dispatch
from node.outbox.lanes import Timetable
from node.outbox.shelf import expiry_reason
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.outbox import Keeping, Outbox
from node.ports.source import JobSource
from node.runtime.signals import Bell, Signal
from node.runtime.tasks import TaskOwner

_PENDING: Final = Keeping.PENDING

_LOADED_AT_ONCE: Final = 500
"""Results taken up at the start between two turns of the event loop."""


class Sender:
    """Implements `node.ports.outbox.ResultSender` on an outbox; `run` is its loop.

    A submission that fails in passing is tried again with back-off, without an end: a result leaves by being
    accepted, buried or dropped alone. Each submission has a task while it lasts; of one node and source at most
    ``policy.per_node`` are under way, of one key never two.
    """

    def __init__(self, outbox: Outbox, clock: Clock, random: Random, events: EventSink, policy: OutboxPolicy) -> None:
        self.keeping = outbox.keeping
        """See `node.ports.outbox.ResultSender.keeping`; the outbox' own, since every job asks."""
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._events = events
        self._policy = policy
        self._bell = Bell()
        self._timetable = Timetable(self._bell.ring)
        self._tasks = TaskOwner(events.emit)
        self._dispatch = Dispatch(
            outbox, clock, random, events, policy, self._tasks, self._timetable, self._look_whether_flushed
        )
        self._lanes = self._dispatch.lanes
        self._rescues: dict[JobKey, None] = {}
        self._flushed: dict[NodeId, Signal] = {}
        self._sweep_at: float | None = None
        self._loaded = False

    @property
    def accepting(self) -> bool:
        """See `node.ports.outbox.ResultSender.accepting`."""
        return self._outbox.accepting

    def orphans(self, known: Collection[NodeId]) -> dict[NodeId, int]:
        """How many results wait of nodes that are not among the known; they are kept until they expire."""
        return dict(Counter(finished.key.node for finished in self._outbox.pending() if finished.key.node not in known))

    async def put(self, finished: FinishedJob, on_kept: Callable[[], object] = lambda: None) -> None:
        """See `node.ports.outbox.ResultSender.put`."""
        try:
            await self._outbox.put(finished)
        except asyncio.CancelledError:
            self.keep_trying(finished, on_kept)
            raise
        on_kept()
        self._take_up(finished)

    def put_now(self, finished: FinishedJob, /) -> bool:
        """See `node.ports.outbox.ResultSender.put_now`."""
        if not self._outbox.put_now(finished):
            return False
        self._dispatch.take(finished)
        return True

    def keep_trying(self, finished: FinishedJob, on_kept: Callable[[], object]) -> None:
        """See `node.ports.outbox.ResultSender.keep_trying`."""
        key = finished.key
        if key in self._rescues:
            return
        self._rescues[key] = None
        kept = False

        async def put() -> None:
            nonlocal kept
            await self._put_again(finished)
            kept = True
            on_kept()
            self._take_up(finished)

        def ended() -> None:
            del self._rescues[key]
            if not kept:
                self._events.emit(ResultLost(key, "the disk took no result until the program had to end"))
            self._look_whether_flushed(key.node)

        self._tasks.start(put(), f"keep {key.node}/{key.job}", ended)

    async def send_again(self, key: JobKey) -> None:
        """See `node.ports.outbox.ResultSender.send_again`."""
        try:
            revived = await self._outbox.revive(key)
        except StorageUnavailable as error:
            self._events.emit(Notice(TOPIC, f"a dead letter cannot be sent again: {error}", key.node))
            return
        if revived:
            for finished in self._outbox.pending():
                if finished.key == key:
                    self._take_up(finished)

    def attach(self, node: NodeId, source: JobSource) -> None:
        """See `node.ports.outbox.ResultSender.attach`. A node may be attached to several sources."""
        lane = self._lanes.lane(node, source.source_id)
        lane.source = source
        lane.session += 1
        self._dispatch.pump(lane)
        self._look_whether_flushed(node)

    def detach(self, node: NodeId) -> None:
        """See `node.ports.outbox.ResultSender.detach`; from all its sources."""
        for lane in self._lanes.of(node):
            lane.source = None

    async def flushed(self, node: NodeId, timeout_s: float) -> bool:
        """See `node.ports.outbox.ResultSender.flushed`.

        Not waited for is what belongs to a source that the node is not attached to while it is to another.
        """
        end = self._clock.monotonic() + timeout_s
        while not self._is_flushed(node):
            left = end - self._clock.monotonic()
            if left <= 0:
                return False
            await self._flushed.setdefault(node, Signal()).wait(left)
        return True

    async def run(self, stop: Signal, left_s: Callable[[], float] = lambda: math.inf) -> None:
        """Send until ``stop`` is set; what is under way then is awaited for ``policy.grace_s``, and then cut.

        What is not sent by then stays in the outbox. ``left_s`` says how long the program may take to end: no more
        is waited for. A cancellation cuts at once.
        """
        self._dispatch.begin()
        self._sweep_at = self._clock.monotonic()
        self._tasks.start(self._ring_at(stop), "outbox stop")
        try:
            await self._load()
            while not stop.is_set:
                await self._bell.wait(self._turn())
            self._dispatch.halt()
            await self._wind_up(min(self._policy.grace_s, left_s()))
        finally:
            self._dispatch.halt()
            await self._tasks.cancel()

    async def _ring_at(self, stop: Signal) -> None:
        await stop.wait()
        self._bell.ring()

    async def _load(self) -> None:
        for lane in self._lanes:
            self._dispatch.pump(lane)
        for number, finished in enumerate(self._outbox.pending(), start=1):
            self._take_up(finished)
            if number % _LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._loaded = True
        for node in list(self._flushed):
            self._look_whether_flushed(node)

    def _turn(self) -> float | None:
        """Do what is due; seconds until there is more, None where nothing is in sight."""
        now = self._clock.monotonic()
        for lane, parcel in self._timetable.due(now):
            self._dispatch.due(lane, parcel)
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep_at = None
            self._tasks.start(self._sweep(), "outbox sweep", self._sweep_later)
        times = [at for at in (self._timetable.next_at(), self._sweep_at) if at is not None]
        return max(0.0, min(times) - now) if times else None

    def _sweep_later(self) -> None:
        self._sweep_at = self._clock.monotonic() + self._policy.sweep_s
        self._bell.ring()

    async def _wind_up(self, grace_s: float) -> None:
        try:
            async with asyncio.timeout(grace_s):
                await self._tasks.join()
        except TimeoutError:
            if cut := sum(lane.under_way for lane in self._lanes):
                self._events.emit(Notice(TOPIC, f"{cut} submissions are cut; their results stay in the outbox"))

    async def _sweep(self) -> None:
        try:
            buried = await self._outbox.sweep(self._clock.wall())
        except StorageUnavailable as error:
            self._events.emit(Notice(TOPIC, f"expired results wait for the next sweep: {error}"))
            return
        for key in buried:
            self._events.emit(ResultBuried(key, expiry_reason(self._policy)))
            lane = self._lanes.lane(key.node, key.source)
            parcel = lane.parcels.get(key)
            if parcel is not None and parcel.placed:
                lane.remove(parcel)
                self._look_whether_flushed(key.node)

    def _take_up(self, finished: FinishedJob) -> None:
        key = finished.key
        is_taken_up = key in self._lanes.lane(key.node, key.source).parcels
        if not is_taken_up and self._outbox.keeping(key) is _PENDING:
            self._dispatch.take(finished)

    async def _put_again(self, finished: FinishedJob) -> None:
        attempt = 0
        while True:
            try:
                await self._outbox.put(finished)
            except StorageError as error:
                attempt += 1
                self._events.emit(ResultUnsafe(finished.key, str(error)))
                await asyncio.sleep(self._policy.back_off.draw(attempt, self._random))
            else:
                return

    def _is_flushed(self, node: NodeId) -> bool:
        if any(key.node == node for key in self._rescues) or not (self._loaded or self._outbox.count(node) == 0):
            return False
        return self._lanes.is_flushed(node)

    def _look_whether_flushed(self, node: NodeId) -> None:
        if node in self._flushed and self._is_flushed(node):
            self._flushed.pop(node).set()
