"""The way into a session: the first five steps of the protocol, in their order."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.identity import NodeSpec
from node.ports.membership import Link
from node.worker.surroundings import Surroundings


class Startup:
    """Brings one node into session. `link` is the link in use, also while and after a start fails."""

    def __init__(self, spec: NodeSpec, around: Surroundings, on_lost: Callable[[], None]) -> None:
        self._spec = spec
        self._around = around
        self._on_lost = on_lost
        self.link: Link | None = None

    async def run(self) -> Link:
        """Wait for the auth service and a good proxy, prove secret and identity, register, announce the models.

        Raises:
            StepFailed: a step did not succeed; its subclasses say what that means.
        """
        await self.close()
        await self._around.auth.wait_healthy()
        proxy = await self._around.proxies.lease(self._spec.node_id, self._spec.proxy)
        link = self.link = self._around.links.open(self._spec, proxy, self._on_lost)
        await link.membership.check_secret()
        await link.membership.check_identity()
        await link.membership.register()
        await link.membership.announce(self._spec.models)
        return link

    async def leave(self, timeout_s: float) -> None:
        """Say goodbye, if there is anybody to say it to, and close the link."""
        if self.link is not None:
            if timeout_s > 0:
                await self.link.membership.leave(timeout_s)
            await self.close()

    async def close(self) -> None:
        """Close the link without a goodbye."""
        if self.link is not None:
            link, self.link = self.link, None
            await link.aclose()
