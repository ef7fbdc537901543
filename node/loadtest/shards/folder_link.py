"""Shards that lead themselves: each looks at what the others have left in a shared folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from node.domain.errors import StorageError
from node.loadtest.shards.folder import BeatFile, Facts, ReadyFile, ShardFolder
from node.loadtest.shards.messages import Failed, Finished, Leave, Order, Ready, Report, Settled, ShardStanding, Start
from node.loadtest.shards.messages import Stop as StopOrder
from node.ports.clock import Clock
from node.runtime.signals import Signal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FolderPolicy:
    """How long the others are waited for, in seconds. ``start_at`` is agreed on beforehand, None: when all are ready."""

    start_at: float | None = None
    wait_s: float = 600.0
    """From being ready until all are."""
    lead_s: float = 5.0
    """From the last one's being ready to the plan's time 0: by then all must have seen it."""
    look_s: float = 0.5
    """Between two looks."""
    silent_s: float = 20.0
    """A shard whose beat stands still for so long is lost; one that has settled does not need any more."""


class FolderLink:
    """See `node.loadtest.shards.pool.ShardLink`. ``io`` is where files are read and written; `aclose` ends it."""

    def __init__(
        self, folder: ShardFolder, index: int, facts: Facts, policy: FolderPolicy, clock: Clock, io: Executor
    ) -> None:
        self._folder = folder
        self._index = index
        self._facts = facts
        self._policy = policy
        self._clock = clock
        self._io = io
        self._unwritten: asyncio.Queue[Callable[[], object] | None] = asyncio.Queue()
        self._is_ready = Signal()
        self._unwanted = Signal()
        self._never = Signal()
        self._has_started = False
        self._has_told_to_leave = False
        self._beats = 0
        self._is_beating = False
        """Whether a beat is not written yet: a slow disk gets no second one."""
        self._last_beats: dict[int, tuple[BeatFile | None, float]] = {}
        self.failure = ""
        """Why it did not begin or go on; empty where it did."""
        self.has_finished = False
        """Whether it has told its record."""
        self.storage_error: StorageError | None = None
        """What kept something from being written."""

    def tell(self, report: Report) -> None:
        """See `ShardLink.tell`: written by `write_loop`."""
        match report:
            case Ready(nodes=nodes, wall=wall):
                ready = ReadyFile(facts=self._facts, nodes=nodes, wall=wall)
                self._put("ready.json", lambda: ready.model_dump_json().encode(), self._is_ready.set)
            case ShardStanding(running=running):
                if self._is_beating:
                    return
                self._is_beating = True
                self._beats += 1
                beat = BeatFile(number=self._beats, wall=self._clock.wall(), running=running)
                self._put("beat.json", lambda: beat.model_dump_json().encode(), self._beat_is_written)
            case Settled():
                self._put("settled", lambda: b"")
            case Finished(record=record):
                self.has_finished = True
                self._put("record.json", lambda: json.dumps(record).encode())
            case Failed(reason=reason):
                self.failure = reason
                self._put("failed.json", lambda: json.dumps({"reason": reason}).encode())

    def give_up(self) -> None:
        """Nobody waits for the others any more: it does not begin where it has not."""
        self._unwanted.set()

    async def next_order(self) -> Order | None:
        """See `ShardLink.next_order`."""
        if not self._has_started:
            self._has_started = True
            at = await self._agreed_start()
            return StopOrder(at_once=True) if at is None else Start(at=at)
        if not self._has_told_to_leave:
            while not await self._read(self._have_others_settled):
                await self._never.wait(self._policy.look_s)
            self._has_told_to_leave = True
            return Leave()
        await self._never.wait()
        return None

    async def write_loop(self) -> None:
        """Write what is told, one file after the other, until `aclose`."""
        while (write := await self._unwritten.get()) is not None:
            try:
                await self._read(write)
            except StorageError as error:
                self.storage_error = error
                self.give_up()

    def close(self) -> None:
        """Nothing more is told: `write_loop` ends when all is written."""
        self._unwritten.put_nowait(None)

    async def _agreed_start(self) -> float | None:
        while not self._is_ready.is_set and not await self._unwanted.wait(self._policy.look_s):
            pass
        if self._policy.start_at is not None:
            return None if self._unwanted.is_set else self._policy.start_at
        end = self._clock.monotonic() + self._policy.wait_s
        while not self._unwanted.is_set:
            missing, failed, latest = await self._read(self._look_for_all)
            if failed:
                self.tell(Failed(reason=failed))
                return None
            if not missing:
                return latest + self._policy.lead_s
            if self._clock.monotonic() >= end:
                names = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
                self.tell(Failed(reason=f"after {self._policy.wait_s:g} s shards are not ready: {names}"))
                return None
            await self._unwanted.wait(self._policy.look_s)
        return None

    def _look_for_all(self) -> tuple[list[int], str, float]:
        """Who is missing, what keeps the run from its begin, and when the last one was ready."""
        latest = 0.0
        missing = self._folder.missing(self._facts.count)
        for index in range(self._facts.count):
            if failure := self._folder.failure(index):
                return missing, f"shard {index} could not begin: {failure}", latest
            if index in missing:
                continue
            ready = self._folder.ready(index)
            if ready is None:
                return missing, f"what shard {index} has written cannot be read: is it of this version?", latest
            if names := self._facts.differences(ready.facts):
                return missing, f"shard {index} is not of the same run: {', '.join(names)} differ", latest
            latest = max(latest, ready.wall)
        return missing, "", latest

    def _have_others_settled(self) -> bool:
        folder, count = self._folder, self._facts.count
        return all(
            folder.has(index, "settled") or folder.is_over(index) or self._is_silent(index) for index in range(count)
        )

    def _is_silent(self, index: int) -> bool:
        now, beat = self._clock.monotonic(), self._folder.beat(index)
        before, since = self._last_beats.get(index, (None, now))
        if beat != before:
            before, since = beat, now
        self._last_beats[index] = before, since
        return index != self._index and now - since > self._policy.silent_s

    def _beat_is_written(self) -> None:
        self._is_beating = False

    def _put(self, kind: str, content: Callable[[], bytes], then: Callable[[], object] = lambda: None) -> None:
        loop = asyncio.get_running_loop()

        def write() -> None:
            self._folder.write(self._index, kind, content())
            loop.call_soon_threadsafe(then)

        self._unwritten.put_nowait(write)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._io, work)
