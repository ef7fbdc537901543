"""Leads the shards of a run: one start for all, one word when all has settled, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from node.domain.errors import ShardsFailed
from node.loadtest.driver.run import ShardRecord
from node.loadtest.shards.merging import Gathered, LostShard
from node.loadtest.shards.messages import (
    Failed,
    Finished,
    Leave,
    Order,
    Pause,
    Ready,
    Report,
    Settled,
    ShardStanding,
    Start,
)
from node.loadtest.shards.messages import Stop as StopOrder
from node.loadtest.shards.pool import Gone, ShardChannel
from node.loadtest.shards.record import from_document
from node.ports.clock import Clock

_SKEW_S: Final = 0.25
"""What a shard's clock may differ from the leader's before it is told."""


@dataclass(frozen=True, slots=True)
class LeadPolicy:
    """How long shards are waited for, in seconds."""

    ready_s: float = 60.0
    """From their start until all could begin."""
    lead_s: float = 1.0
    """From the word to begin to the plan's time 0: by then it must be with all of them."""
    silent_s: float = 60.0
    """A shard that says nothing for so long is lost; it speaks once a second, but not while it writes its record."""
    abort_s: float = 10.0
    """After the order to end at once."""


@dataclass(slots=True, eq=False)
class _Member:
    index: int
    channel: ShardChannel
    nodes: tuple[str, ...] | None = None
    standing: ShardStanding | None = None
    is_settled: bool = False
    record: ShardRecord | None = None
    lost: LostShard | None = None
    heard_at: float = 0.0
    defects: tuple[str, ...] = field(default=())

    @property
    def is_over(self) -> bool:
        return self.record is not None or self.lost is not None


class Conductor:
    """Leads once. `stop` and `abort` may be called at any time; ``say`` is told what a person should know at once."""

    def __init__(self, clock: Clock, policy: LeadPolicy, say: Callable[[str], object]) -> None:
        self.on_standing: Callable[[int, ShardStanding], object] = lambda _index, _standing: None
        """Told how a shard stands, with its index, once a second of each; a `ValueError` gives that shard up."""
        self.on_end: Callable[[int], object] = lambda _: None
        """Told of a shard from which nothing more comes."""
        self._clock = clock
        self._policy = policy
        self._say = say
        self._members: list[_Member] = []
        self._failure: str | None = None
        self._start_at: float | None = None
        self._is_leaving = False
        self._stop: StopOrder | None = None
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that whoever reads the figures should know."""
        return tuple(self._notes)

    @property
    def start_at(self) -> float:
        """The plan's time 0, in Unix seconds; now where the shards have not begun."""
        return self._clock.wall() if self._start_at is None else self._start_at

    def pause(self, *, on: bool) -> None:
        """Hold the plan's time everywhere, or let it go on."""
        self._tell_all(Pause(on=on))

    def stop(self) -> None:
        """Have all shards end their load, settle briefly, and come to an end."""
        self._order_stop(StopOrder())

    def abort(self) -> None:
        """Have all shards end at once; those that do not are ended."""
        self._order_stop(StopOrder(at_once=True))
        if self._members:
            asyncio.get_running_loop().call_later(self._policy.abort_s, self._kill_all)

    async def lead(self, channels: Sequence[ShardChannel]) -> Gathered:
        """Lead shards that have been started, until each has given its record or is lost.

        Raises:
            ShardsFailed: one of them could not begin; none has begun.
        """
        now = self._clock.wall()
        self._members = [_Member(index, channel, heard_at=now) for index, channel in enumerate(channels)]
        if self._stop is not None:
            self._order_stop(self._stop)
        async with asyncio.TaskGroup() as group:
            for member in self._members:
                group.create_task(self._follow(member), name=f"lead shard {member.index}")
        if self._failure is not None:
            raise ShardsFailed(self._failure)
        return Gathered(
            count=len(self._members),
            records={one.index: one.record for one in self._members if one.record is not None},
            lost=[one.lost for one in self._members if one.lost is not None],
            defects=tuple(defect for one in self._members for defect in one.defects),
        )

    async def _follow(self, member: _Member) -> None:
        while not member.is_over:
            timeout_s = self._policy.ready_s if member.nodes is None else self._policy.silent_s
            try:
                async with asyncio.timeout(timeout_s):
                    report = await member.channel.receive()
            except TimeoutError:
                member.channel.kill()
                report = Gone(f"nothing was heard of it for {timeout_s:g} s")
            member.heard_at = member.heard_at if isinstance(report, Gone) else self._clock.wall()
            self._take(member, report)
            self._look()

    def _take(self, member: _Member, report: Report | Gone) -> None:
        match report:
            case Ready():
                member.nodes = report.nodes
                self._compare_clocks(member.index, report.wall)
            case ShardStanding():
                self._hear(member, report)
            case Settled():
                member.is_settled = True
            case Finished():
                self._read(member, report)
            case Failed(reason=why) | Gone(why=why):
                self._lose(member, why)
            case _:
                assert_never(report)
        if member.is_over:
            self.on_end(member.index)

    def _hear(self, member: _Member, report: ShardStanding) -> None:
        member.standing = report
        try:
            self.on_standing(member.index, report)
        except ValueError as error:
            member.channel.kill()
            self._lose(member, str(error))

    def _read(self, member: _Member, report: Finished) -> None:
        try:
            member.record, member.defects = from_document(report.record)
        except ValueError as error:
            self._lose(member, str(error))

    def _lose(self, member: _Member, why: str) -> None:
        running = 0 if member.standing is None else member.standing.running
        member.lost = LostShard(member.index, why, member.heard_at, member.nodes or (), running)
        count = len(self._members)
        if self._start_at is not None:
            self._say(f"Shard {member.index} of {count} was lost: {why}")
        elif self._failure is None and self._stop is None:
            self._failure = f"shard {member.index} of {count} could not begin: {why}"
            self._tell_all(StopOrder(at_once=True))

    def _look(self) -> None:
        """Give the words that all shards wait for, when the time is there."""
        living = [member for member in self._members if not member.is_over]
        if self._start_at is None and self._failure is None and all(one.nodes is not None for one in self._members):
            self._start_at = self._clock.wall() + self._policy.lead_s
            self._tell_all(Start(at=self._start_at))
        if living and not self._is_leaving and all(member.is_settled for member in living):
            self._is_leaving = True
            self._tell_all(Leave())

    def _order_stop(self, order: StopOrder) -> None:
        self._stop = order
        self._tell_all(order)

    def _tell_all(self, order: Order) -> None:
        for member in self._members:
            if not member.is_over:
                member.channel.send(order)

    def _kill_all(self) -> None:
        for member in self._members:
            if not member.is_over:
                member.channel.kill()

    def _compare_clocks(self, index: int, wall: float) -> None:
        apart_s = wall - self._clock.wall()
        if abs(apart_s) > _SKEW_S:
            way = "ahead of" if apart_s > 0 else "behind"
            self._notes.append(
                f"the clock of shard {index} is {abs(apart_s):.1f} s {way} this machine's: times of jobs that went"
                " from one to the other are wrong by as much"
            )
