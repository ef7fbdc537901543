"""Waiting for shards of which nothing is known but what they leave in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from node.loadtest.shards.folder import BeatFile, ShardFolder
from node.loadtest.shards.folder_link import FolderPolicy
from node.ports.clock import Clock


class FolderWait:
    """Waits until nothing more comes of any shard: each has left its record or a failure, or has fallen silent.

    One that has shown no sign at all is waited for to the end of ``policy.wait_s``. ``io`` is where files are read.
    """

    def __init__(
        self, folder: ShardFolder, policy: FolderPolicy, clock: Clock, io: Executor, say: Callable[[str], object]
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._clock = clock
        self._io = io
        self._say = say
        self._beats: dict[int, tuple[BeatFile | None, float]] = {}
        self._told: list[int] = []

    async def all_over(self) -> bool:
        """Wait; whether nothing more comes of any of them."""
        loop, end = asyncio.get_running_loop(), self._clock.monotonic() + self._policy.wait_s
        while True:
            open_ones = await loop.run_in_executor(self._io, self._open)
            if open_ones == []:
                return True
            if open_ones is not None and open_ones != self._told:
                self._told = open_ones
                self._say(f"Waiting for shards {', '.join(map(str, open_ones))}.")
            if self._clock.monotonic() >= end:
                return False
            await asyncio.sleep(self._policy.look_s)

    def _open(self) -> list[int] | None:
        """Those of which more may come; None where there is nothing of any yet."""
        count = self._folder.count
        if count is None:
            return None
        return [index for index in range(count) if not self._folder.is_over(index) and not self._is_silent(index)]

    def _is_silent(self, index: int) -> bool:
        now, beat = self._clock.monotonic(), self._folder.beat(index)
        before, since = self._beats.get(index, (None, now))
        if beat != before:
            before, since = beat, now
        self._beats[index] = before, since
        return beat is not None and now - since > self._policy.silent_s
