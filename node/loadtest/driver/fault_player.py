"""Faults at their times."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias, assert_never

from node.loadtest.driver.fleet import LoadFleet
from node.loadtest.driver.line import Line
from node.loadtest.driver.plan_time import PlanTime
from node.loadtest.plan.faults import AnswerTwice, ExpireTokens, Garbage, Kill, Silent, Slow, Unreachable
from node.loadtest.plan.timeline import FaultEvent

ExpireAll: TypeAlias = Callable[[], Coroutine[Any, Any, bool]]
"""Makes the gateway take no token any more that it has given out; false when it cannot be told to."""

_Act: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class FaultPlayer:
    """Commits the faults of a plan; ``mark`` is told of each when it begins or ends."""

    def __init__(
        self,
        events: Sequence[FaultEvent],
        fleet: LoadFleet,
        line: Line,
        mark: Callable[[str], object],
        expire_tokens: ExpireAll,
    ) -> None:
        self._events = events
        self._fleet = fleet
        self._line = line
        self._mark = mark
        self._expire_tokens = expire_tokens
        self._open: dict[int, FaultEvent] = {}
        self.left_out: list[str] = []
        """Faults that could not be committed."""

    async def run(self, time: PlanTime, end_s: float) -> None:
        """Commit them, until the plan's time is ended.

        What lasts beyond ``end_s``, in seconds of the plan, or is not over by then, is ended by `end_all`.
        """
        for at_s, act in self._acts(end_s):
            if not await time.until(at_s):
                return
            await act()

    def end_all(self) -> None:
        """End what still lasts; killed nodes stay where they are."""
        for place in list(self._open):
            self._end(place)

    def _acts(self, end_s: float) -> list[tuple[float, _Act]]:
        acts: list[tuple[float, _Act]] = []
        for place, event in enumerate(self._events):
            acts.append((event.at_s, partial(self._begin, place, event)))
            if event.until_s is not None and event.at_s < event.until_s <= end_s:
                acts.append((event.until_s, partial(self._end_now, place, event)))
        return sorted(acts, key=itemgetter(0))

    async def _begin(self, place: int, event: FaultEvent) -> None:
        fault = event.fault
        self._mark(str(fault))
        match fault:
            case Kill():
                await self._fleet.kill(event.nodes)
            case ExpireTokens():
                if not await self._expire_tokens():
                    self.left_out.append(str(fault))
            case Unreachable():
                self._line.cut()
                self._open[place] = event
            case Slow() | Silent() | AnswerTwice() | Garbage():
                self._misbehave(event, on=True)
                self._open[place] = event
            case _:
                assert_never(fault)

    async def _end_now(self, place: int, event: FaultEvent) -> None:
        if isinstance(event.fault, Kill):
            self._mark(f"{len(event.nodes)} nodes come back")
            self._fleet.revive(event.nodes)
        else:
            self._mark(f"over: {event.fault}")
        self._end(place)

    def _end(self, place: int) -> None:
        event = self._open.pop(place, None)
        if event is None:
            return
        if isinstance(event.fault, Unreachable):
            self._line.mend()
        elif not isinstance(event.fault, Kill):
            self._misbehave(event, on=False)

    def _misbehave(self, event: FaultEvent, *, on: bool) -> None:
        for behaviour in self._fleet.behaviours(event.nodes):
            match event.fault:
                case Slow(factor=factor):
                    behaviour.slow(factor, on=on)
                case Silent():
                    behaviour.silence(on=on)
                case AnswerTwice():
                    behaviour.answer_twice(on=on)
                case Garbage():
                    behaviour.garble(on=on)
                case _:
                    raise AssertionError(f"{event.fault} is not a node's")
