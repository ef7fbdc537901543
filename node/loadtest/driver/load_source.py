"""One life's way to its jobs: what it sends is noted, and wrong where the plan wants that."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from node.domain.errors import SessionLost, TransportError
from node.domain.events import ResultAccepted
from node.domain.ids import SourceId
from node.domain.jobs import Job
from node.domain.results import FinishedJob
from node.domain.verdict import Ruling, Verdict
from node.loadtest.driver.behaviour import Behaviour
from node.ports.calls import Call, SessionCalls
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.source import JobSource
from node.ports.transport import Reply
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge
from node.runtime.tasks import TaskOwner

Sent: TypeAlias = Callable[[FinishedJob], object]
"""Told of a result that is about to be handed over."""


class Desk(NamedTuple):
    """What all sources of a process share: ``tasks`` owns what is sent a second time."""

    tasks: TaskOwner
    sent: Sent
    clock: Clock


_GARBAGE: Final = b'{"job_id": null, "status": "\\u0000perhaps", "result": ["\xef\xbf\xbd"'
"""Neither JSON nor a result."""

_GARBAGE_S: Final = 30.0


class LoadSource:
    """See `node.ports.source.JobSource`. ``source_id`` takes the place of the source's own in the keys of jobs."""

    __slots__ = ("_behaviour", "_calls", "_desk", "_events", "_source", "source_id")

    def __init__(
        self,
        source: JobSource,
        calls: SessionCalls,
        source_id: SourceId,
        behaviour: Behaviour,
        events: EventSink,
        desk: Desk,
    ) -> None:
        self.source_id = source_id
        self._source = source
        self._calls = calls
        self._behaviour = behaviour
        self._events = events
        self._desk = desk

    def claim(self, still_wanted: Callable[[], bool] | None = None) -> Coroutine[Any, Any, Job | None]:
        """See `node.ports.source.JobSource.claim`."""
        return self._source.claim(still_wanted)

    async def settle(self, finished: FinishedJob) -> Verdict:
        """See `node.ports.source.JobSource.settle`."""
        if self._behaviour.garbles:
            return await self._send_garbage()
        self._desk.sent(finished)
        verdict = await self._source.settle(finished)
        if self._behaviour.answers_twice and verdict.ruling is Ruling.OK:
            self._desk.tasks.start(self._settle_again(finished), f"answer job {finished.key.job} again")
        return verdict

    async def _settle_again(self, finished: FinishedJob) -> None:
        """Hand a result that was taken over once more, and tell what the gateway makes of it."""
        self._desk.sent(finished)
        verdict = await self._source.settle(finished)
        if verdict.ruling is Ruling.OK or verdict.ruling is Ruling.ALREADY:
            took_s = self._desk.clock.wall() - finished.received_at
            self._events.emit(ResultAccepted(finished.key, took_s, 2, verdict.ruling is Ruling.ALREADY))

    async def _send_garbage(self) -> Verdict:
        route = Step.UPDATE_RESULT.route
        call = Call(Step.UPDATE_RESULT.label, route.method, route.path, _GARBAGE_S, _judged, _GARBAGE)
        try:
            verdict = (await self._calls.call(call)).verdict
        except TransportError as error:
            return Verdict(Ruling.RETRY, str(error))
        except SessionLost as error:
            return Verdict(Ruling.SESSION_LOST, str(error))
        return replace(verdict, ruling=Ruling.SESSION_LOST) if verdict.ruling is Ruling.RENEW else verdict


def _judged(reply: Reply, renewed: bool) -> Judged:
    return judge(Step.UPDATE_RESULT, reply.status, reply.headers, reply.body, renewed=renewed)
