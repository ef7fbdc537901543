"""Processes on one virtual clock: each an event loop of its own, that can be killed between any two of its steps.

Nothing here waits for the outside world: no thread, no socket. Steps run one at a time in the order in which they
became ready, timers in the order of their times, so that the same beginning gives the same history.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = 1_700_000_000.0
"""The Unix time at which every timeline begins; its own time begins at 0."""

MAX_STILL_STEPS: Final = 100_000
"""Steps without a move of the clock after which a process is held to have hung."""


class Hung(Exception):
    """The clock stands still while there is no end of steps to run, or nothing is left that could move it."""


class Timeline:
    """One clock, and the steps of all processes on it."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the beginning."""
        self.steps = 0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._moved_at = 0

    def run(self, until: Callable[[], bool]) -> None:
        """Run steps until the condition holds; it is looked at between steps.

        Raises:
            Hung: see there.
        """
        ready = self._ready
        try:
            while not until():
                if not ready:
                    self._move()
                self._step(ready.popleft())
        finally:
            events._set_running_loop(None)

    def soon(self, handle: asyncio.Handle) -> None:
        """Take up a step that is ready."""
        self._ready.append(handle)

    def later(self, timer: asyncio.TimerHandle) -> None:
        """Take up a step that is ready at the timer's time."""
        heapq.heappush(self._timers, (timer.when(), next(self._order), timer))

    def timer_cancelled(self) -> None:
        """One of the timers will not be needed; when most of them are not, they go."""
        self._cancelled += 1
        if self._cancelled > 1000 and self._cancelled > len(self._timers) // 2:
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _move(self) -> None:
        while self._timers:
            when, _, timer = heapq.heappop(self._timers)
            if timer.cancelled():
                self._cancelled = max(0, self._cancelled - 1)
                continue
            if when > self.now:
                self.now = when
                self._moved_at = self.steps
            self._ready.append(timer)
            return
        raise Hung("no step is ready and no timer is set")

    def _step(self, handle: asyncio.Handle) -> None:
        process: Process = handle._loop  # type: ignore[attr-defined]
        if process.is_dead:
            process.grave.append(handle)
            return
        if handle.cancelled():
            return
        self.steps += 1
        if self.steps - self._moved_at > MAX_STILL_STEPS:
            raise Hung(f"{MAX_STILL_STEPS} steps without a move of the clock, the last of them {handle!r}")
        events._set_running_loop(process)
        handle._run()
        process.stepped()


class _Task(asyncio.Task[T]):
    """A task whose place in a set does not depend on its address."""

    _numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(_Task._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Process(asyncio.AbstractEventLoop):
    """The event loop of one simulated process.

    `kill` is kill -9: not one step more is run, no ``finally``, no ``except``. What the process held is kept from
    the garbage collector, which would run them, until the `grave` is emptied.
    """

    def __init__(self, timeline: Timeline, name: str, on_defect: Callable[[str], object]) -> None:
        self.timeline = timeline
        self.name = name
        self.is_dead = False
        self.grave: list[object] = []
        self._on_defect = on_defect
        self._fuse = 0
        self._on_fuse: Callable[[], object] = lambda: None

    def start(self, work: Coroutine[Any, Any, T], name: str = "main") -> asyncio.Task[T]:
        """Run ``work`` as a task of this process."""
        return self.create_task(work, name=name)

    def kill(self) -> None:
        """End the process between two of its steps."""
        self.grave.extend(task for task in asyncio.all_tasks(self))
        self.is_dead = True

    def light_fuse(self, steps: int, then: Callable[[], object]) -> None:
        """Call ``then`` after so many more steps of this process, wherever it stands then."""
        self._fuse, self._on_fuse = steps, then

    def stepped(self) -> None:
        """Called after every step."""
        if self._fuse:
            self._fuse -= 1
            if not self._fuse and not self.is_dead:
                self._on_fuse()

    # What asyncio asks of an event loop.

    def time(self) -> float:
        """Seconds since the timeline's beginning."""
        return self.timeline.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon`."""
        handle = asyncio.Handle(callback, args, self, context)
        self.timeline.soon(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_later`."""
        return self.call_at(self.timeline.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_at`."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self.timeline.later(timer)
        return timer

    def _timer_handle_cancelled(self, _: asyncio.TimerHandle) -> None:
        self.timeline.timer_cancelled()

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio.AbstractEventLoop.create_future`."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """See `asyncio.AbstractEventLoop.create_task`."""
        return _Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        """False."""
        return False

    def is_running(self) -> bool:
        """Whether the timeline steps it at this moment."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """False."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What asyncio would log as an error is a defect; a dead process has nothing to say."""
        if not self.is_dead:
            self._on_defect(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")


def new_process(timeline: Timeline, name: str, on_defect: Callable[[str], object]) -> Process:
    """A process that has nothing to do yet; ``on_defect`` is told of what asyncio would log as an error."""
    return Process(timeline, name, on_defect)  # type: ignore[abstract]  # nothing here opens sockets or files


class ProcessClock:
    """A process's `node.ports.clock.Clock`; ``skew_s`` is what its wall clock is off by."""

    def __init__(self, timeline: Timeline, skew_s: float = 0.0) -> None:
        self._timeline = timeline
        self.skew_s = skew_s

    def wall(self) -> float:
        """Unix time as this process sees it."""
        return EPOCH + self._timeline.now + self.skew_s

    def monotonic(self) -> float:
        """The timeline's time."""
        return self._timeline.now
