"""An engine that is asked for what it has, and what may be run, alone."""

from __future__ import annotations

from node.domain.errors import Declined
from node.domain.jobs import Payload
from node.domain.results import Output
from node.machine.catalogue import ModelCatalogue
from node.ports.executor import Executor, Partials


class Having:
    """An `Executor` that declines what the operator does not allow, and what its engine neither has nor will fetch.

    Engines cannot be relied upon to: some run the model that they have whatever they are asked for, and would take the
    jobs that are meant for the next. Until an engine has told what it has, and while it does not, it decides itself.
    """

    def __init__(self, executor: Executor, catalogue: ModelCatalogue) -> None:
        self._executor = executor
        self._catalogue = catalogue

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: the model is not allowed, or the engine does not have it.
        """
        catalogue, model = self._catalogue, payload.model
        if not catalogue.allows(model):
            raise Declined(f"{self.name} does not offer {model}")
        if catalogue.is_fresh and not catalogue.has(model) and not catalogue.may_pull(model):
            raise Declined(f"{self.name} has no model {model}")
        return await self._executor.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._executor.aclose()
