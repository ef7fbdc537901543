from __future__ import annotations

import asyncio

import pytest

from node.runtime.running import running


async def test_the_loop_that_runs_is_known_and_found() -> None:
    loop = asyncio.get_running_loop()
    assert running(loop) is loop
    assert running(None) is loop


async def test_another_loop_is_not_taken_for_it() -> None:
    other = asyncio.new_event_loop()
    try:
        assert running(other) is asyncio.get_running_loop()
    finally:
        other.close()


def test_none_is_running() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError):
        running(loop)
