"""Logging what was asked and answered, for those who ask for it."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.jobs import ChatPayload
from node.domain.results import Generation
from node.ports.executor import Executor, Partials


class LoggedExecutor:
    """Tells ``log`` of every answer: executor, model, prompt and text. Jobs that are not answered are not told."""

    def __init__(self, executor: Executor, log: Callable[[str, str, str, str], None]) -> None:
        self._executor = executor
        self._log = log

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the wrapped one's."""
        return self._executor.name

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`."""
        generation = await self._executor.execute(payload, partials)
        self._log(generation.executor, generation.model, payload.prompt, generation.text)
        return generation

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._executor.aclose()
