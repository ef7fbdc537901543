"""An engine whose models are kept: fetched before a job where that is allowed, and not unloaded during it."""

from __future__ import annotations

from node.domain.errors import Declined
from node.domain.jobs import Payload
from node.domain.results import Output
from node.machine.keeper import ModelKeeper
from node.ports.executor import Executor, Partials


class OnDemand:
    """An `Executor` around the one whose models the keeper looks after."""

    def __init__(self, executor: Executor, keeper: ModelKeeper) -> None:
        self._executor = executor
        self._keeper = keeper

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`. A model that is not one to fetch is left to the engine.

        Raises:
            EngineFailed: also where the model could not be fetched.
        """
        with self._keeper.using(payload.model):
            if self._keeper.catalogue.may_pull(payload.model):
                await self._keeper.ensure(payload.model)
            try:
                return await self._executor.execute(payload, partials)
            except Declined:
                # Somebody may have removed it since the engine was last asked what it has.
                if not await self._keeper.lacks(payload.model):
                    raise
            await self._keeper.ensure(payload.model)
            return await self._executor.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._executor.aclose()
