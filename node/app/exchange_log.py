"""Logging what was asked and answered, for those who ask for it."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.jobs import ChatPayload, Payload
from node.domain.results import Generation, Output
from node.ports.executor import Executor, Partials


class LoggedExecutor:
    """Tells ``log`` of every chat's answer: executor, model, prompt and text. What is not answered is not told."""

    def __init__(self, executor: Executor, log: Callable[[str, str, str, str], None]) -> None:
        self._executor = executor
        self._log = log

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the wrapped one's."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`."""
        output = await self._executor.execute(payload, partials)
        if isinstance(payload, ChatPayload) and isinstance(output, Generation):
            self._log(output.executor, output.model, payload.prompt, output.text)
        return output

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._executor.aclose()
