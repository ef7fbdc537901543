"""The way into a session: the first five steps of the protocol, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from node.domain.errors import ProxyFailed, StepFailed
from node.domain.events import ModelsAnnounced, Notice
from node.domain.identity import NodeSpec
from node.ports.membership import Link
from node.worker.surroundings import Surroundings

_CLOSE_S: Final = 2.0
"""Time for closing connections, which should take none: a TLS peer that says no goodbye must not hold a node up."""


def proxy_fault(error: StepFailed) -> str:
    """What a proxy did to make a step fail; empty when it was none of a proxy's doing."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ProxyFailed):
        cause = cause.__cause__
    return "" if cause is None else str(cause) or "it failed"


class Startup:
    """Brings one node into session. `link` is the link in use, until it is closed, also when a start failed."""

    __slots__ = ("_around", "_on_lost", "_spec", "link", "told")

    def __init__(self, spec: NodeSpec, around: Surroundings, on_lost: Callable[[], None]) -> None:
        self._spec = spec
        self._around = around
        self._on_lost = on_lost
        self.link: Link | None = None
        self.told: tuple[str, ...] = ()
        """The models that were announced last."""

    async def run(self) -> Link:
        """Wait for the auth service and a good proxy, prove secret and identity, register, announce the models.

        The former link must have been closed.

        Raises:
            StepFailed: a step did not succeed; its subclasses say what that means.
        """
        await self._around.auth.wait_healthy()
        proxy = await self._around.proxies.lease(self._spec.node_id, self._spec.proxy)
        link = self.link = self._around.links.open(self._spec, proxy, self._on_lost)
        await link.membership.check_secret()
        await link.membership.check_identity()
        await link.membership.register()
        models = self._around.offer.models(self._spec)
        await link.membership.announce(models)
        self.told = models
        self._around.events.emit(ModelsAnnounced(self._spec.node_id, models))
        return link

    async def close(self) -> None:
        """Close the link, if there is one, without a goodbye."""
        link, self.link = self.link, None
        if link is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await link.aclose()
        except TimeoutError:
            text = f"its connections were not closed within {_CLOSE_S:g} s"
            self._around.events.emit(Notice("worker", text, self._spec.node_id))
