"""What joins a node to its gateway: client and source on one session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.domain.identity import NodeSpec
from node.domain.proxies import ProxyAddress
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.ports.source import JobSource
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.sources.gateway import GatewaySource


@dataclass(frozen=True, slots=True)
class GatewayLink:
    """One node's connection: see `node.ports.membership.Link`."""

    membership: GatewayClient
    source: JobSource

    async def aclose(self) -> None:
        """Close the connections."""
        await self.membership.aclose()


@dataclass(frozen=True, slots=True)
class GatewayLinks:
    """Makes the links of a fleet; ``stop`` ends the waits between the attempts of steps."""

    transports: TransportFactory
    deployment: Deployment
    policy: ClientPolicy
    surroundings: Surroundings
    stop: Signal

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> GatewayLink:
        """See `node.ports.membership.LinkFactory.open`."""
        transport = self.transports.open(proxy)
        client = GatewayClient(spec, transport, self.deployment, self.policy, self.surroundings, self.stop, on_lost)
        around = self.surroundings
        source = GatewaySource(
            client,
            around.events,
            self.deployment.node_version,
            self.policy.timeouts,
            remember=around.remember,
            redact=around.redact,
        )
        return GatewayLink(client, source)
