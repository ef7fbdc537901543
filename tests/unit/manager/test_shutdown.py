"""Signals, really sent: the first drains, the second aborts, the third ends the process; handlers are put back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.manager.shutdown import ShutdownSignals
from tests.support.waiting import wait_until

SIGNALS = (signal.SIGINT, signal.SIGTERM)

PROGRAM = """
import asyncio
from node.manager.shutdown import ShutdownSignals

async def main():
    with ShutdownSignals(lambda: print("drain", flush=True), lambda: print("abort", flush=True), 7):
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The test's own handlers, by which it is seen that the former ones are put back."""
    before = [signal.getsignal(number) for number in SIGNALS]
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
async def test_one_after_the_other_whichever_they_are(first: signal.Signals, second: signal.Signals) -> None:
    steps: list[str] = []
    before = [signal.getsignal(number) for number in SIGNALS]
    with ShutdownSignals(lambda: steps.append("drain"), lambda: steps.append("abort"), 7) as signals:
        os.kill(os.getpid(), first)
        await wait_until(lambda: signals.received == 1)
        assert steps == ["drain"]
        os.kill(os.getpid(), second)
        await wait_until(lambda: signals.received == 2)
        assert steps == ["drain", "abort"]
    assert [signal.getsignal(number) for number in SIGNALS] == before
    os.kill(os.getpid(), first)
    await asyncio.sleep(0.01)
    assert signals.received == 2


async def test_handlers_are_put_back_after_an_error() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="own"), ShutdownSignals(lambda: None, lambda: None, 7):
        raise ValueError("own")
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("kinds", [[signal.SIGINT] * 3, [signal.SIGTERM] * 3, [signal.SIGINT, signal.SIGTERM] * 2])
def test_the_third_ends_the_process(kinds: list[signal.Signals]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for kind in [None, *kinds[:2]]:
                if kind is not None:
                    process.send_signal(kind)
                said.append(process.stdout.readline().strip())
            assert said == ["ready", "drain", "abort"]
            process.send_signal(kinds[2])
            assert process.wait(10) == 7
        finally:
            process.kill()
