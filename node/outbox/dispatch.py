"""One submission after another: what is started when, and what a source's verdict does to a result."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, assert_never

from node.domain.errors import StorageUnavailable
from node.domain.events import Notice, ResultAccepted, ResultBuried, ResultDelayed
from node.domain.ids import NodeId
from node.domain.policies import OutboxPolicy
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.outbox import TOPIC
from node.outbox.couriers import Couriers
from node.outbox.lanes import Lane, Lanes, Parcel, Timetable
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.outbox import Keeping, Outbox
from node.ports.source import JobSource
from node.runtime.tasks import TaskOwner, crash

_OK: Final = Ruling.OK

_Errand: TypeAlias = tuple[Lane, Parcel, JobSource | Verdict]
"""A parcel, and the source that it is to be submitted to or the verdict that is to be recorded."""


class Dispatch:
    """Starts what may go, and puts back what has to be tried again.

    ``on_change`` is called when a submission of a node has ended or a result of it is done with.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        random: Random,
        events: EventSink,
        policy: OutboxPolicy,
        tasks: TaskOwner,
        timetable: Timetable,
        on_change: Callable[[NodeId], None],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._events = events
        self._policy = policy
        self._couriers = Couriers[_Errand](tasks, "courier", self._carried, self._ended)
        self._timetable = timetable
        self._on_change = on_change
        self.lanes = Lanes()
        self._moves = False

    def begin(self) -> None:
        """Start what is taken and pumped from now on."""
        self._moves = True
        self._couriers.open()

    def halt(self) -> None:
        """Start nothing more; what is under way goes on."""
        self._moves = False
        self._couriers.dismiss()

    def take(self, finished: FinishedJob) -> None:
        """Start a result that waits in the outbox, or let it wait for its turn, unless it is on its way already."""
        key = finished.key
        lane, parcel = self.lanes.lane(key.node, key.source), Parcel(finished)
        if lane.parcels.setdefault(key, parcel) is not parcel:
            return
        source = None if lane.waiting else self._free_source(lane)
        if source is None:
            lane.queue.append(parcel)
        else:
            self._send(lane, parcel, source)

    def pump(self, lane: Lane) -> None:
        """Start what may go."""
        while lane.waiting and (source := self._free_source(lane)) is not None:
            parcel = lane.queue.popleft()
            if not self._is_over(lane, parcel):
                self._send(lane, parcel, source)

    def _free_source(self, lane: Lane) -> JobSource | None:
        """Where a lane's next parcel may go at once; None where the lane does not move, or is full."""
        if not self._moves or (lane.open_at and lane.open_at > self._clock.monotonic()):
            return None
        return lane.source if lane.under_way < lane.width(self._policy.per_node) else None

    def _send(self, lane: Lane, parcel: Parcel, source: JobSource) -> None:
        parcel.attempts += 1
        parcel.round = lane.failures
        parcel.session = lane.session
        self._start(lane, parcel, source)

    def due(self, lane: Lane, parcel: Parcel | None) -> None:
        """The time of a parcel has come, or of the lane itself."""
        if parcel is not None and parcel.verdict is not None:
            self._start(lane, parcel, parcel.verdict)
            return
        if parcel is not None:
            lane.queue.append(parcel)
        self.pump(lane)

    def _start(self, lane: Lane, parcel: Parcel, next_stop: JobSource | Verdict) -> None:
        parcel.placed = False
        lane.under_way += 1
        self._couriers.hand((lane, parcel, next_stop))

    def _carried(self, errand: _Errand) -> Coroutine[Any, Any, None]:
        lane, parcel, next_stop = errand
        if isinstance(next_stop, Verdict):
            return self._record(lane, parcel, next_stop)
        return self._submit(lane, parcel, next_stop)

    def _ended(self, errand: _Errand, defect: Exception | None) -> None:
        lane, parcel, next_stop = errand
        lane.under_way -= 1
        if defect is not None:
            _, node, job = parcel.finished.key
            what = "record" if isinstance(next_stop, Verdict) else "submit"
            self._events.emit(crash(f"{what} {node}/{job}", defect))
        if not parcel.placed and lane.parcels.get(parcel.finished.key) is parcel:
            if self._moves:
                self._back_off(lane, parcel, Verdict(Ruling.RETRY, "a defect ended the submission"))
            else:
                parcel.placed = True
                lane.queue.appendleft(parcel)
        if lane.waiting:
            self.pump(lane)
        self._on_change(lane.node)

    def _is_over(self, lane: Lane, parcel: Parcel) -> bool:
        """Whether the parcel is done with: expired or dropped meanwhile, or another stands in its place."""
        if lane.parcels.get(parcel.key) is parcel and self._outbox.keeping(parcel.key) is Keeping.PENDING:
            return False
        lane.remove(parcel)
        self._on_change(lane.node)
        return True

    async def _submit(self, lane: Lane, parcel: Parcel, source: JobSource) -> None:
        verdict = await source.settle(parcel.finished)
        if verdict.ruling is _OK:
            lane.answered()
            parcel.verdict = verdict
            await self._record(lane, parcel, verdict)
            return
        match verdict.ruling:
            case Ruling.ALREADY | Ruling.DEAD_LETTER | Ruling.REFUSED:
                lane.answered()
                parcel.verdict = verdict
                await self._record(lane, parcel, verdict)
            case Ruling.RETRY | Ruling.FAULT:
                self._back_off(lane, parcel, verdict)
            case Ruling.SESSION_LOST:
                # The others of this session would hear the same. It comes back by being attached again; the
                # back-off keeps a session that is attached again unchanged from being tried in a circle.
                if lane.session == parcel.session:
                    lane.source = None
                self._back_off(lane, parcel, verdict)
            case Ruling.NO_JOB | Ruling.PENDING | Ruling.RENEW | Ruling.IDENTITY_REFUSED:
                text = f"a source answered a result with {verdict.ruling.name}, which is not for results"
                self._events.emit(Notice(TOPIC, text, lane.node))
                self._back_off(lane, parcel, verdict)
            case _:
                assert_never(verdict.ruling)

    async def _record(self, lane: Lane, parcel: Parcel, verdict: Verdict) -> None:
        """Enter the source's last word in the outbox; while the disk does not take it, try that alone again."""
        key = parcel.finished.key
        already = verdict.ruling is not _OK and verdict.ruling is Ruling.ALREADY
        taken = already or verdict.ruling is _OK
        try:
            if taken:
                await self._outbox.accept(key)
            else:
                await self._outbox.bury(key, verdict.reason)
        except StorageUnavailable as error:
            parcel.records += 1
            wait = self._policy.back_off.draw(parcel.records, self._random)
            self._place(lane, parcel, wait)
            self._events.emit(ResultDelayed(key, parcel.attempts, str(error), wait))
            return
        lane.remove(parcel)
        if taken:
            took = self._clock.wall() - parcel.finished.received_at
            self._events.emit(ResultAccepted(key, took, parcel.attempts, already))
        else:
            self._events.emit(ResultBuried(key, verdict.reason))

    def _back_off(self, lane: Lane, parcel: Parcel, verdict: Verdict) -> None:
        """Try the parcel again later, and hold its lane for as long as the lane's own failures make it."""
        if self._is_over(lane, parcel):
            return
        lane.fail(parcel)
        back_off, least = self._policy.back_off, verdict.retry_after_s
        wait = back_off.draw(parcel.attempts, self._random, least)
        if lane.failures > parcel.attempts:
            hold = back_off.draw(lane.failures, self._random, least)
        else:
            hold = wait if least is not None else min(wait, back_off.ceiling(lane.failures))
        lane.open_at = max(lane.open_at, self._clock.monotonic() + hold)
        self._timetable.add(lane.open_at, lane)
        self._place(lane, parcel, wait)
        self._events.emit(ResultDelayed(parcel.key, parcel.attempts, verdict.reason, wait))

    def _place(self, lane: Lane, parcel: Parcel, wait_s: float) -> None:
        parcel.placed = True
        self._timetable.add(self._clock.monotonic() + wait_s, lane, parcel)
