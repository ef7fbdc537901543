"""What a node offers, of all its engines together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from node.domain.identity import NodeSpec
from node.machine.catalogue import ModelCatalogue


class EngineOffer:
    """A `node.ports.offer.Offer`: all that the engines of these catalogues offer, the same for every node."""

    def __init__(self, catalogues: Sequence[ModelCatalogue]) -> None:
        self._catalogues = {catalogue.engine: catalogue for catalogue in catalogues}
        self._calls: dict[object, Callable[[], object]] = {}
        self._last = self._all()
        for catalogue in self._catalogues.values():
            catalogue.on_change(self._changed)

    def models(self, spec: NodeSpec) -> tuple[str, ...]:
        """See `node.ports.offer.Offer.models`: sorted by name; what the roster declares for the node plays no part."""
        del spec
        return self._last

    def models_of(self, engine: str) -> tuple[str, ...]:
        """What one engine offers; nothing for one that is not known."""
        catalogue = self._catalogues.get(engine)
        return () if catalogue is None else catalogue.offered()

    def on_change(self, call: Callable[[], object]) -> Callable[[], None]:
        """See `node.ports.offer.Offer.on_change`. ``call`` must not raise."""
        key = object()
        self._calls[key] = call

        def end() -> None:
            self._calls.pop(key, None)

        return end

    async def refresh(self) -> None:
        """Ask all engines at once, so that there is an offer before the first node starts."""
        loop, catalogues = asyncio.get_running_loop(), self._catalogues.values()
        asking = [loop.create_task(each.refresh(), name=f"models of {each.engine}") for each in catalogues]
        await asyncio.gather(*asking)

    def _all(self) -> tuple[str, ...]:
        return tuple(sorted({name for catalogue in self._catalogues.values() for name in catalogue.offered()}))

    def _changed(self) -> None:
        offered = self._all()
        if offered != self._last:
            self._last = offered
            for call in tuple(self._calls.values()):
                call()
