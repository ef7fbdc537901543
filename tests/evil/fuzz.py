"""The long run of the fuzzer: many trials, counted, with the failing ones named so that each can be had again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from node.gateway.tls import client_context
from node.ports.transport import TransportFactory
from tests.contract.transport.conftest import MakeFactory
from tests.evil.server import EvilServer, serving
from tests.evil.trials import LIMIT, Outcome, Wrong, body_trial, parser_trial, wire_server, wire_trial

WIRE_EVERY, BODY_EVERY = 20, 10
"""One trial in so many goes over sockets, and one in so many through the reading of compressed bodies."""

HUNG_AFTER_S = 10.0
WIRES = 64
"""Trials over sockets that run at a time."""

Step = Callable[[int, int], Awaitable[Outcome]]


class Hung(BaseException):
    """A trial held the event loop."""


@dataclass
class Tally:
    """What has been counted; tallies of split runs are added up by adding their numbers and outcomes."""

    parsed: int = 0
    wired: int = 0
    hangs: int = 0
    unhandled: int = 0
    wrong: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.hangs + self.unhandled + self.wrong

    def fail(self, number: int, error: BaseException) -> None:
        match error:
            case Hung() | TimeoutError():
                self.hangs += 1
            case Wrong():
                self.wrong += 1
            case _:
                self.unhandled += 1
        self.failures[number] = f"{type(error).__name__}: {error}"

    def line(self) -> str:
        total = self.parsed + self.wired
        return (
            f"{total} replies ({self.parsed} to the parsers, {self.wired} over sockets), {self.hangs} hangs, "
            f"{self.unhandled} unhandled exceptions, {self.wrong} wrong, {len(self.outcomes)} distinct outcomes"
        )

    def report(self) -> dict[str, Any]:
        return {
            "parsed": self.parsed,
            "wired": self.wired,
            "hangs": self.hangs,
            "unhandled": self.unhandled,
            "wrong": self.wrong,
            "outcomes": {" | ".join(vars(outcome).values()): count for outcome, count in self.outcomes.most_common()},
            "failures": self.failures,
        }


async def fuzz(
    seed: int,
    numbers: range,
    make_factory: MakeFactory,
    on_progress: Callable[[Tally], None] = lambda _tally: None,
    step_trial: Step = parser_trial,
    server: EvilServer | None = None,
) -> Tally:
    """Make the trials of these numbers."""
    tally = Tally()
    await _parse_all(seed, numbers, tally, on_progress, step_trial)
    transports = make_factory(client_context(), LIMIT)
    async with serving(server or wire_server(seed)) as running, asyncio.TaskGroup() as group:
        rest = (number for number in numbers if number % WIRE_EVERY == 0)
        for _ in range(WIRES):
            group.create_task(_wire_all(seed, rest, running, transports, tally, on_progress))
    return tally


async def _parse_all(
    seed: int, numbers: range, tally: Tally, on_progress: Callable[[Tally], None], step_trial: Step
) -> None:
    with _alarm() as watch:
        for number in numbers:
            if number % WIRE_EVERY == 0:
                continue
            watch()
            try:
                is_body = number % BODY_EVERY == BODY_EVERY // 2
                outcome = body_trial(seed, number) if is_body else await step_trial(seed, number)
                tally.outcomes[outcome] += 1
            except (Exception, Hung) as error:
                tally.fail(number, error)
            tally.parsed += 1
            if tally.parsed % 1000 == 0:
                on_progress(tally)


async def _wire_all(
    seed: int,
    numbers: Iterator[int],
    server: EvilServer,
    transports: TransportFactory,
    tally: Tally,
    on_progress: Callable[[Tally], None],
) -> None:
    for number in numbers:
        try:
            tally.outcomes[await wire_trial(seed, number, server, transports)] += 1
        except Exception as error:
            tally.fail(number, error)
        tally.wired += 1
        if tally.wired % 100 == 0:
            on_progress(tally)
            server.asked.clear()


@contextmanager
def _alarm() -> Iterator[Callable[[], None]]:
    """Raise `Hung` when the function that is given has not been called for too long; needs the main thread."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hung(f"it held the loop for {HUNG_AFTER_S:g} s")

    former = signal.signal(signal.SIGALRM, ring)
    try:
        yield lambda: _set_alarm(HUNG_AFTER_S)
    finally:
        _set_alarm(0.0)
        signal.signal(signal.SIGALRM, former)


def _set_alarm(delay_s: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, delay_s)


class Progress:
    """Writes where a run stands, every few seconds."""

    def __init__(self, total: int, write: Callable[[str], object], every_s: float = 10.0) -> None:
        self._total = total
        self._write = write
        self._every_s = every_s
        self._began = self._last = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < self._every_s:
            return
        self._last = now
        done = tally.parsed + tally.wired
        left_s = (self._total - done) * (now - self._began) / max(done, 1)
        self._write(f"{done:,} of {self._total:,}, {tally.failed} failed, some {left_s:.0f} s left\n")
