"""Gives an engine up that goes silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from node.domain.errors import EngineFailed
from node.domain.jobs import Payload
from node.domain.results import Output
from node.ports.clock import Clock
from node.ports.executor import Executor, Partials


class EngineSilent(EngineFailed):
    """The engine made no progress for as long as is bearable."""


@dataclass(frozen=True, slots=True)
class ProgressPolicy:
    """How long an engine may be silent, in seconds; 0 or None sets a limit off.

    ``first_piece_s`` is the time to the first piece of an answer or of the model's thinking, or to all embeddings: the
    loading of the model is in it. ``silent_s`` is the time from a piece to the next, or to the answer's end. ``whole_s``
    is the time for the whole call.

    Raises:
        ValueError: a limit is below 0.
    """

    first_piece_s: float | None = 180.0
    silent_s: float | None = 30.0
    whole_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.first_piece_s or 0, self.silent_s or 0, self.whole_s or 0) < 0:
            raise ValueError("a limit is 0 or more seconds")


class Progressing:
    """Cancels a call to an engine that makes no progress, and calls that a failure of it.

    Goes right around an engine: whatever waits for a free slot within would count as silence. Where the taker of
    pieces is slow, that is not the engine's silence; ``whole_s`` alone goes on meanwhile.
    """

    def __init__(self, executor: Executor, policy: ProgressPolicy, clock: Clock) -> None:
        self._executor = executor
        self._policy = policy
        self._clock = clock

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the watched one's."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            EngineSilent: the engine was silent for too long, or took too long.
            EngineFailed: it failed by itself.
        """
        whole, silence = asyncio.timeout(self._policy.whole_s or None), asyncio.timeout(None)
        heard = _HeardPieces(partials, silence, self._policy.silent_s, self._clock)
        try:
            async with whole, silence:
                heard.expect_within(self._policy.first_piece_s)
                return await self._executor.execute(payload, heard)
        except TimeoutError:
            if whole.expired():
                raise EngineSilent(f"{self.name} was not done within {self._policy.whole_s:g} s") from None
            if silence.expired():
                raise EngineSilent(f"{self.name} said nothing for {heard.limit_s:g} s") from None
            raise

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the watched one."""
        await self._executor.aclose()


class _HeardPieces:
    """Passes pieces on and puts the end of the silence off with each."""

    def __init__(self, taker: Partials | None, silence: asyncio.Timeout, silent_s: float | None, clock: Clock) -> None:
        self._taker = taker
        self._silence = silence
        self._silent_s = silent_s
        self._clock = clock
        self.limit_s: float | None = None

    def expect_within(self, limit_s: float | None) -> None:
        """Let the silence begin now; it is bearable for so long, and for ever with 0 or None."""
        # A call that is being ended may still bring a piece: too late.
        if not self._silence.expired():
            self.limit_s = limit_s or None
            self._silence.reschedule(None if not limit_s else self._clock.monotonic() + limit_s)

    async def push(self, text: str) -> None:
        """See `node.ports.executor.Partials.push`."""
        if self._taker is not None:
            self.expect_within(None)
            await self._taker.push(text)
        self.expect_within(self._silent_s)
