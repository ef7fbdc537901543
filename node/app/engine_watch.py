"""The engines of a node in production as whoever watches it should know them: all of them, whatever they did so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from node.domain.events import ModelsAnnounced, Notice
from node.machine.catalogue import ModelCatalogue
from node.machine.engine_gates import EngineGate
from node.ports.events import EventSink


class EngineView(Protocol):
    """What there is to know of the engines at this moment; asking is cheap."""

    @property
    def missing(self) -> Mapping[str, str]:
        """Every engine of the node, with why it is missing; an empty text for one that is there."""
        ...

    @property
    def down_because(self) -> str:
        """Why all engines are missing or fail; empty while one is well."""
        ...

    @property
    def offered(self) -> int:
        """How many models are on offer."""
        ...

    @property
    def nothing_because(self) -> str:
        """Why no model is on offer, and what to do; empty while one is."""
        ...


@dataclass(slots=True)
class EngineWatch:
    """An `EngineView`; as a subscriber it warns when the gateway is told that the node has no model at all.

    The gateway gives such a node no job, and nothing else about it looks wrong.
    """

    gate: EngineGate
    catalogues: Sequence[ModelCatalogue]
    events: EventSink
    _told: str = ""

    @property
    def missing(self) -> Mapping[str, str]:
        """See `EngineView.missing`."""
        return self.gate.missing

    @property
    def down_because(self) -> str:
        """See `EngineView.down_because`."""
        return self.gate.down_because

    @property
    def offered(self) -> int:
        """See `EngineView.offered`."""
        return len({model for catalogue in self.catalogues for model in catalogue.offered()})

    @property
    def nothing_because(self) -> str:
        """See `EngineView.nothing_because`."""
        if self.offered:
            return ""
        return "; ".join(map(_nothing_because, self.catalogues)) or "there is no engine"

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {ModelsAnnounced: self._on_announced}

    def _on_announced(self, event: ModelsAnnounced) -> None:
        because = "" if event.models else self.nothing_because
        if because and because != self._told:
            text = f"no model is on offer, so that the gateway has no jobs for this node: {because}"
            self.events.emit(Notice("models", text, event.node, is_trouble=True))
        self._told = because


def _nothing_because(catalogue: ModelCatalogue) -> str:
    if catalogue.failed_because:
        return catalogue.failed_because
    if not catalogue.is_fresh:
        return f"{catalogue.engine} has not told yet which models it has"
    count = len(catalogue.stored)
    if not count:
        return f"{catalogue.engine} has no models; have it fetch one"
    return f"ALLOWED_MODELS leaves out all that {catalogue.engine} has ({count})"
