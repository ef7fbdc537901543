"""Tasks with a name and an owner."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from node.domain.errors import described
from node.domain.events import Crash
from node.domain.ids import NodeId
from node.runtime.running import running
from node.runtime.signals import Signal

T = TypeVar("T")


def crash(task: str, error: BaseException, node: NodeId | None = None) -> Crash:
    """Describe a defect. The traceback shows code lines only, never values."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return Crash(task=task, error=described(error), trace=frames, node=node)


class TaskOwner:
    """Starts named tasks, tells of those that die of a defect, and awaits all of them in the end.

    Unlike in a TaskGroup one task's death does not end the others: a defect in one job must not take the
    node's other jobs with it.
    """

    __slots__ = ("_all_ended", "_loop", "_on_crash", "_tasks")

    def __init__(self, on_crash: Callable[[Crash], object]) -> None:
        self._on_crash = on_crash
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[asyncio.Task[Any], Callable[[], None] | None] = {}
        """What to call at the end of each."""
        self._all_ended: Signal | None = None
        """There while somebody waits for it."""

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, T], name: str, on_done: Callable[[], None] | None = None
    ) -> asyncio.Task[T]:
        """Run ``work`` in a task of this name; ``on_done`` is called when it has ended in whatever way."""
        self._loop = running(self._loop)
        task = self._loop.create_task(work, name=name)
        self._tasks[task] = on_done
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        on_done = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_crash(crash(task.get_name(), error))
        if on_done is not None:
            on_done()
        if self._all_ended is not None and not self._tasks:
            self._all_ended.set()
            self._all_ended = None

    async def join(self) -> None:
        """Wait until all tasks have ended, those included that are started meanwhile."""
        while self._tasks:
            if self._all_ended is None:
                self._all_ended = Signal()
            await self._all_ended.wait()
            await asyncio.sleep(0)

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their ends."""
        for task in list(self._tasks):
            task.cancel()
        await self.join()
