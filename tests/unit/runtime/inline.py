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
    """The same, but a call counts as ended only after a time on the event loop."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.calls = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self.calls += 1
        ended = super().submit(fn, *args, **kwargs)
        future: Future[T] = Future()

        def end() -> None:
            if (error := ended.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(ended.result())

        asyncio.get_running_loop().call_later(self.takes_s, end)
        return future
