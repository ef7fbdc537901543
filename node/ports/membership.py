"""A node's standing with the party that gives it work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from node.domain.identity import NodeSpec
from node.domain.proxies import ProxyAddress
from node.domain.results import Points
from node.ports.source import JobSource


class Membership(Protocol):
    """The steps by which a node joins, stays and leaves.

    Every method but `leave` retries passing faults by itself, and raises:

        StepFault: attempts are used up, or the answer ends the session.
        SessionLost: the gateway does not know the session any more.
        StepRefused: the other side said no.

    The session is kept alive by the membership itself: renewed before its end, and once when denied. When
    that fails, `lost` says why, and the next call that needs the session raises `SessionLost`.
    """

    @property
    def lost(self) -> str:
        """Why the session is lost; empty while it is not."""
        ...

    async def check_secret(self) -> None:
        """Step 2. Raises `IdentityRefused` when the secret is denied."""
        ...

    async def check_identity(self) -> None:
        """Step 3, through the auth gate. Raises `IdentityRefused` when the identity is denied."""
        ...

    async def register(self) -> None:
        """Step 4: the session is valid afterwards."""
        ...

    async def announce(self, models: tuple[str, ...]) -> None:
        """Step 5: tell which models the node offers; a renewal repeats it."""
        ...

    async def points(self) -> Points:
        """Step 8: what the node has earned."""
        ...

    async def leave(self, timeout_s: float) -> None:
        """Step 9, tried once and never raising `StepFailed`; the session is dropped whatever the answer."""
        ...


class Link(Protocol):
    """One node's connection to its gateway, over one proxy or none: membership and source on one session."""

    @property
    def membership(self) -> Membership:
        """The node's standing there."""
        ...

    @property
    def source(self) -> JobSource:
        """The jobs that come from there."""
        ...

    async def aclose(self) -> None:
        """Close the connections; what is under way is cut."""
        ...


class LinkFactory(Protocol):
    """Makes links."""

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> Link:
        """A link for this node; nothing is sent yet. ``on_lost`` is called when its session is lost."""
        ...
