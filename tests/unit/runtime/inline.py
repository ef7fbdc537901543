"""Executors without a thread, for code that uses one in life and runs in virtual time here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class SlowExecutor(InlineExecutor):
    """Like a thread on which each call takes a time on the event loop: one after the other."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.calls = 0
        self.free_at = 0.0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        loop = asyncio.get_running_loop()

        def start() -> None:
            self.calls += 1
            ended = super(SlowExecutor, self).submit(fn, *args, **kwargs)
            loop.call_later(self.takes_s, end, ended)

        def end(ended: Future[T]) -> None:
            if (error := ended.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(ended.result())

        start_at = max(loop.time(), self.free_at)
        self.free_at = start_at + self.takes_s
        loop.call_at(start_at, start)
        return future
