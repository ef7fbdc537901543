"""Knowing the event loop."""

from __future__ import annotations

import asyncio


def running(known: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
    """The running loop, where ``known`` is likely to be it: to ask asyncio takes a system call on Python 3.11.

    Raises:
        RuntimeError: none is running.
    """
    return known if known is not None and known.is_running() else asyncio.get_running_loop()
