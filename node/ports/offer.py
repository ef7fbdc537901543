"""Which models a node offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from node.domain.identity import NodeSpec


class Offer(Protocol):
    """The models that nodes announce in step 5 of the protocol; they may change while the nodes work."""

    def models(self, spec: NodeSpec) -> tuple[str, ...]:
        """What this node offers now, in a fixed order and each once."""
        ...

    def on_change(self, call: Callable[[], object]) -> Callable[[], None]:
        """Have this called whenever the offer of any node has changed; the returned call ends that."""
        ...


def _nothing() -> None:
    """Ends what was never begun."""


class Declared:
    """Offers what the roster declares, and never changes."""

    def models(self, spec: NodeSpec) -> tuple[str, ...]:
        """See `Offer.models`."""
        return spec.models

    def on_change(self, call: Callable[[], object]) -> Callable[[], None]:
        """See `Offer.on_change`."""
        del call
        return _nothing
