"""When nodes were gone, and what they offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from node.domain.ids import NodeId


class Presences:
    """Crashes, departures and models by node; times are Unix seconds."""

    def __init__(self) -> None:
        self._gone: dict[NodeId, list[float]] = {}
        self._left: dict[NodeId, list[float]] = {}
        self._offers: dict[NodeId, set[str]] = {}

    def gone(self, nodes: Iterable[NodeId], at: float) -> None:
        """These nodes ended without goodbye: crashed, killed, or their process lost."""
        for node in nodes:
            self._gone.setdefault(node, []).append(at)

    def left(self, node: NodeId, at: float) -> None:
        """The node told the gateway that it leaves, whatever that answered: its leases may end from then on."""
        self._left.setdefault(node, []).append(at)

    def offered(self, node: NodeId, models: Iterable[str]) -> None:
        """The node told the gateway that it has these models."""
        self._offers.setdefault(node, set()).update(models)

    def is_gone_since(self, node: NodeId, at: float) -> bool:
        """Whether the node has crashed or left at this time or after it."""
        return min(self.gone_after(node, at), self.left_after(node, at)) < inf

    def gone_after(self, node: NodeId, at: float) -> float:
        """When the node first crashed at this time or after it; infinite when it did not."""
        return min((time for time in self._gone.get(node, ()) if time >= at), default=inf)

    def left_after(self, node: NodeId, at: float) -> float:
        """When the node first left at this time or after it; infinite when it did not."""
        return min((time for time in self._left.get(node, ()) if time >= at), default=inf)

    def offers(self, node: NodeId) -> set[str] | None:
        """The models that a node ever announced; None when it was not heard to."""
        return self._offers.get(node)

    def merge(self, other: Presences) -> None:
        """Add what another process saw."""
        for mine, theirs in ((self._gone, other._gone), (self._left, other._left)):
            for node, times in theirs.items():
                mine.setdefault(node, []).extend(times)
        for node, models in other._offers.items():
            self.offered(node, models)

    def to_document(self) -> dict[str, Any]:
        """All of it for JSON."""
        offers = {node: sorted(models) for node, models in self._offers.items()}
        return {"gone": self._gone, "left": self._left, "offers": offers}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Presences:
        """Read what `to_document` made; `KeyError`, `TypeError` or `ValueError` where it is not that."""
        presences = cls()
        presences._gone = {NodeId(node): [float(at) for at in times] for node, times in document["gone"].items()}
        presences._left = {NodeId(node): [float(at) for at in times] for node, times in document["left"].items()}
        presences._offers = {NodeId(node): set(models) for node, models in document["offers"].items()}
        return presences
