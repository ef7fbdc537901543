"""What a node waits for before it goes on."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from node.domain.ids import NodeId
from node.domain.proxies import ProxyAddress
from node.domain.states import Hold


class AuthPermit(Protocol):
    """Leave to ask the auth service once; tell it how that went before the permit is given back.

    A permit given back untold counts as neither: a waiter that is cancelled blocks nobody.
    """

    def answered(self) -> None:
        """The auth service answered, whatever it said."""
        ...

    def failed(self, reason: str) -> None:
        """It timed out, failed with 5xx or could not be reached."""
        ...


class AuthGate(Protocol):
    """Holds nodes back while the auth service is unhealthy."""

    def permit(self) -> AbstractAsyncContextManager[AuthPermit]:
        """Wait until the service is healthy, or until this caller is chosen to probe it."""
        ...

    async def wait_healthy(self) -> None:
        """Wait until the service is held to be healthy, or may be probed."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether the service is held to be healthy now."""
        ...


class ProxyPool(Protocol):
    """Gives nodes proxies that work."""

    async def lease(self, node: NodeId, own: ProxyAddress | None) -> ProxyAddress | None:
        """A verified proxy for this node, waiting until there is one; None for a node that goes directly.

        ``own`` is the node's proxy by the roster: preferred while it is good. No two nodes share a proxy
        while free ones are left. A node's former lease ends.
        """
        ...

    def report(self, node: NodeId, *, ok: bool, reason: str = "") -> None:
        """How the node fared with its proxy."""
        ...

    def release(self, node: NodeId) -> None:
        """The node needs its proxy no more."""
        ...


class ClaimGate(Protocol):
    """A condition of the whole process under which nodes claim no jobs."""

    @property
    def hold(self) -> Hold:
        """The kind of reason it stands for."""
        ...

    @property
    def closed_because(self) -> str:
        """Why nodes must not claim now; empty when they may."""
        ...
