"""An event loop whose clock jumps to the next timer instead of waiting for it.

Only for code without threads and sockets: nothing here waits for the outside world.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

START = 1_000_000.0
"""The loop's time when it is made; the wall clock of `VirtualClock` runs along with it."""

MAX_STILL_TURNS = 100_000
"""Turns of the loop without a step of the clock after which a test has hung."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._still = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            if timeout is None and not ready:
                raise RuntimeError("deadlock in virtual time: no task is ready and no timer is set")
            self._still += 1
            if self._still > MAX_STILL_TURNS:
                raise RuntimeError("hung in virtual time: the clock stands still")
            return ready
        self._still = 0
        self._loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self._now = START
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class VirtualClock:
    """A `Clock` on the running loop's time; ``skew_s`` is what its wall clock is off by."""

    def __init__(self, skew_s: float = 0.0) -> None:
        self._skew_s = skew_s

    def wall(self) -> float:
        return 1_700_000_000.0 + asyncio.get_running_loop().time() - START + self._skew_s

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a `VirtualLoop`; it must leave no task behind."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:

            async def main() -> None:
                await test(*args, **kwargs)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"tasks left behind: {left}"

            runner.run(main())

    return run
