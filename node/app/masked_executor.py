"""Errors of engines without the secrets that they repeat: they are the answer to whoever asked, and kept on disk."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.errors import ExecutorError
from node.domain.jobs import Payload
from node.domain.results import Output
from node.ports.executor import Executor, Partials


class MaskedExecutor:
    """Passes what errors say through ``redact``, before it becomes a result. What is generated stays as it is."""

    def __init__(self, executor: Executor, redact: Callable[[str], str]) -> None:
        self._executor = executor
        self._redact = redact

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the wrapped one's."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`; an error keeps its type."""
        try:
            return await self._executor.execute(payload, partials)
        except ExecutorError as error:
            said, told = str(error), error.told
            masked, told_masked = self._redact(said), self._redact(told)
            if (masked, told_masked) == (said, told):
                raise
            raise type(error)(masked, told=told_masked) from error

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._executor.aclose()
