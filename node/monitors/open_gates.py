"""Gates that hold nobody back: for uses without an auth service or proxies to watch, and for tests."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from node.domain.ids import NodeId
from node.domain.proxies import ProxyAddress


class _Unwatched:
    """A permit whose holder is not listened to."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def answered(self) -> None:
        """See `node.ports.gates.AuthPermit.answered`."""

    def failed(self, reason: str) -> None:
        """See `node.ports.gates.AuthPermit.failed`."""


class AlwaysHealthy:
    """An `AuthGate` that is open whatever happens."""

    @property
    def healthy(self) -> bool:
        """True."""
        return True

    def permit(self) -> _Unwatched:
        """See `node.ports.gates.AuthGate.permit`; never waits."""
        return _Unwatched()

    async def wait_healthy(self) -> None:
        """Return at once."""


class DirectOnly:
    """A `ProxyPool` without proxies: every node goes directly."""

    async def lease(self, node: NodeId, own: ProxyAddress | None) -> ProxyAddress | None:
        """None, at once.

        Raises:
            ValueError: the node has a proxy of its own, and must not go past it.
        """
        if own is not None:
            raise ValueError(f"{node} has a proxy of its own: it needs a pool that checks proxies")
        return None

    def report(self, node: NodeId, *, ok: bool, reason: str = "") -> None:
        """Do nothing."""

    def release(self, node: NodeId) -> None:
        """Do nothing."""
