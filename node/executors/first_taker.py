"""An ordered list of executors, of which the first that takes a job runs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from node.domain.errors import Declined
from node.domain.jobs import Payload
from node.domain.results import Output
from node.ports.executor import Executor, Partials


class FirstTaker:
    """Offers a job to each in turn. Only `Declined` passes it on: a failure of one that took it is final."""

    def __init__(self, executors: Sequence[Executor]) -> None:
        self._executors = tuple(executors)

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`; a result bears the name of the one that ran the job."""
        return "|".join(executor.name for executor in self._executors)

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: none takes the job; the message joins every reason.
        """
        reasons, told = [], []
        for executor in self._executors:
            try:
                return await executor.execute(payload, partials)
            except Declined as declined:
                reasons.append(str(declined))
                told.append(declined.told)
        raise Declined("; ".join(reasons) or "no executor is configured", told="; ".join(told))

    async def aclose(self) -> None:
        """Close all of them, whether or not one of them fails to close."""
        async with AsyncExitStack() as closing:
            for executor in reversed(self._executors):
                closing.push_async_callback(executor.aclose)
