"""What runs a job."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from node.domain.jobs import Payload
from node.domain.results import Output


class Partials(Protocol):
    """Takes output while it is made, for sources that pass it on."""

    async def push(self, text: str) -> None:
        """The next piece of the answer, an empty one where the model thinks instead; waits while the taker is slow."""
        ...


class Executor(Protocol):
    """Runs one job at a time for each call; calls may overlap."""

    @property
    def name(self) -> str:
        """How settings and results call it."""
        ...

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """Run a job to its end: a chat to a generation, whose pieces go to ``partials``, texts to embeddings.

        Cancelling the call stops the engine's work on it.

        Raises:
            Declined: the job, or its kind, is not for this executor; nothing was done or pushed.
            EngineFailed: the engine reported an error or its answer broke off.
            EngineOverloaded: the engine is full.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it holds."""
        ...


@runtime_checkable
class InstantExecutor(Protocol):
    """What an `Executor` may be besides: one that has some answers without waiting for anything."""

    def answer_now(self, payload: Payload) -> Output | None:
        """The answer that `execute` would give at once; None where it would wait, and where it would raise."""
        ...
