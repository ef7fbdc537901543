"""What runs a job."""

from __future__ import annotations

from typing import Protocol

from node.domain.jobs import ChatPayload
from node.domain.results import Generation


class Partials(Protocol):
    """Takes output while it is made, for sources that pass it on."""

    async def push(self, text: str) -> None:
        """The next piece of the answer; waits while the taker is slow."""
        ...


class Executor(Protocol):
    """Runs one job at a time for each call; calls may overlap."""

    @property
    def name(self) -> str:
        """How settings and results call it."""
        ...

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """Run a job to its end. Cancelling the call stops the engine's work on it.

        Raises:
            Declined: the job is not for this executor; nothing was done or pushed.
            EngineFailed: the engine reported an error or its answer broke off.
            EngineOverloaded: the engine is full.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what it holds."""
        ...
