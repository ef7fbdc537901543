"""The outboxes under test, and the loops they are tested on."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import OutboxPolicy
from node.domain.results import Failure, FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.outbox.memory import MemoryOutbox
from node.outbox.sqlite import SqliteOutbox
from node.ports.outbox import Outbox
from tests.support.events import RecordingSink

START = 1_700_000_000.0
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class SetClock:
    """A wall clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = START

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def key(job: str, node: str = "n1") -> JobKey:
    return JobKey(SourceId("http://gateway"), NodeId(node), JobId(job))


def finished(job: str, node: str = "n1", text: str = "an answer", error: str = "") -> FinishedJob:
    outcome = Failure(error, "m") if error else Success(Generation(text, "m", "stored", None, 3, "stop"))
    return FinishedJob(key(job, node), outcome, START - 2, START - 1, {"api_key": Secret(f"key of {job}")})


class Keeper:
    """Opens an outbox; between two steps a test may let it be closed and opened again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "state" / "outbox.sqlite"
        self.policy = OutboxPolicy()
        self.clock = SetClock()
        self.events = RecordingSink()

    async def open(self, **policy: Any) -> Outbox:
        self.policy = OutboxPolicy(**policy)
        return await self._open()

    async def _open(self) -> Outbox:
        if self.kind == "memory":
            return MemoryOutbox(self.policy, self.clock)
        return await SqliteOutbox.open(self.path, self.policy, self.clock, self.events)

    async def step(self, outbox: Outbox) -> Outbox:
        """What was done so far holds across a restart."""
        if self.kind != "sqlite, reopened":
            return outbox
        await outbox.aclose()
        return await self._open()


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on asyncio's own loop and on uvloop, for each kind of outbox."""

    @functools.wraps(test)
    def run(loop: str, kind: str, tmp_path: Path, **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(Keeper(kind, tmp_path), **arguments))

    given = list(inspect.signature(test).parameters.values())[1:]
    names = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("loop", "kind", "tmp_path")]
    run.__signature__ = inspect.Signature([*(part.replace(kind=part.KEYWORD_ONLY) for part in given), *names])  # type: ignore[attr-defined]
    kinds = pytest.mark.parametrize("kind", ["memory", "sqlite", "sqlite, reopened"])
    return pytest.mark.parametrize("loop", LOOPS)(kinds(run))
