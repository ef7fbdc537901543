"""A long run as a number of legs, each in a folder of its own that is kept only when something is wrong."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.audit import Breach, Kind
from tests.crash.gateway import GatewayFailed
from tests.crash.tally import Tally


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a run: the command that runs it alone, and what runs it in an empty folder, ``within_s`` at most."""

    command: str
    run: Callable[[Path], Awaitable[Tally]]
    within_s: float


async def run_legs(tally: Tally, legs: Sequence[Leg], *, at_once: int, names: Sequence[str]) -> None:
    """Run all legs and add them to ``tally``, so many at a time, with a line on stderr after each."""
    began = time.monotonic()
    left = iter(enumerate(legs, start=1))

    async def lane() -> None:
        for number, leg in left:
            await _run_leg(tally, leg)
            tally.wall_s = time.monotonic() - began
            _say(f"leg {number} of {len(legs)}, {tally.wall_s:.0f} s: {tally.line(names)}")

    async with asyncio.TaskGroup() as lanes:
        for number in range(min(at_once, len(legs))):
            lanes.create_task(lane(), name=f"lane {number}")


async def _run_leg(tally: Tally, leg: Leg) -> None:
    folder = Path(tempfile.mkdtemp(prefix="llm-node-crash-"))
    is_clean = False
    try:
        async with asyncio.timeout(leg.within_s):
            part = await leg.run(folder)
        tally.add(part)
        is_clean = part.is_clean
    except* (GatewayFailed, TimeoutError) as errors:
        for error in errors.exceptions:
            what = str(error) or f"the leg did not end within {leg.within_s:.0f} s"
            tally.found(str(folder), [Breach(Kind.MISREPORTED, what)])
    finally:
        if is_clean:
            await asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, folder)
        else:
            _say(f"kept {folder}: outboxes, the gateway's journal and logs, by round; again: {leg.command}")
    for breach in [] if is_clean else tally.breaches[-20:]:
        _say(breach)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
