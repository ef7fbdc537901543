"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def wait_until(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail with ``what`` when it does not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        if loop.time() >= end:
            raise AssertionError(f"not in {timeout_s} s: {what or condition}")
        await asyncio.sleep(0.005)


def wait_until_sync(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """`wait_until` for tests without an event loop, such as those that run the program as a process."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            raise AssertionError(f"not in {timeout_s} s: {what or condition}")
        time.sleep(0.02)
