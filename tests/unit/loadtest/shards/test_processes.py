"""Shards as processes that do not do what they should."""

from __future__ import annotations

import pytest

from node.loadtest.shards import processes
from node.loadtest.shards.messages import Leave
from node.loadtest.shards.pool import Gone
from node.loadtest.shards.processes import ProcessPool

ODD = "tests.unit.loadtest.shards.odd_child"


async def gone(task: bytes, said: list[str]) -> str:
    async with ProcessPool(ODD, said.append).open([task]) as (channel,):
        found = await channel.receive()
        channel.send(Leave())
        assert isinstance(found, Gone)
        assert await channel.receive() == found
    return found.why


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (b"complains", "its process ended with exit code 4 (the last word)"),
        (b"is killed", "its process was killed by SIGKILL"),
        (b"breaks off", "its process ended with exit code 0"),
        (b"speaks nonsense", "this is no message of a shard: 1 errors"),
        (b"promises too much", f"a message of {1 << 60} bytes is too long"),
    ],
)
async def test_why_it_is_gone(task: bytes, why: str) -> None:
    said: list[str] = []
    assert await gone(task, said) == why
    assert said == (["shard 0: first line", "shard 0: the last word"] if task == b"complains" else [])


async def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_S", 0.5)
    async with ProcessPool(ODD, print).open([b"speaks nonsense", b"speaks nonsense"]) as channels:
        assert len(channels) == 2


async def test_a_program_that_there_is_not_is_told_of() -> None:
    said: list[str] = []
    async with ProcessPool("tests.no_such_module", said.append).open([b""]) as (channel,):
        found = await channel.receive()
    assert isinstance(found, Gone)
    assert "No module named tests.no_such_module" in found.why
