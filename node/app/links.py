"""What joins a node to its gateway: client and source on one session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from node.domain.identity import NodeSpec
from node.domain.ids import SourceId
from node.domain.jobs import Job
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob
from node.domain.secret import Secret
from node.domain.verdict import Verdict
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.ports.source import JobSource
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.sources.gateway import GatewaySource


class _MaskedSource:
    """A source whose jobs' secrets are made known to the logs before anything can be said about them.

    Those of a result may come from the disk, from an earlier run. Why a result was refused goes to the disk, too, and
    from there to whoever asks: it is masked here.
    """

    def __init__(self, source: JobSource, around: Surroundings) -> None:
        self._source = source
        self._around = around

    @property
    def source_id(self) -> SourceId:
        return self._source.source_id

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        job = await self._source.claim(still_wanted)
        if job is not None:
            self._remember_all(job.receipt)
        return job

    async def settle(self, finished: FinishedJob) -> Verdict:
        self._remember_all(finished.receipt)
        verdict = await self._source.settle(finished)
        return replace(verdict, reason=self._around.redact(verdict.reason)) if verdict.reason else verdict

    def _remember_all(self, receipt: Mapping[str, Secret]) -> None:
        for secret in receipt.values():
            self._around.remember(secret)


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
        source = GatewaySource(client, self.surroundings.events, self.deployment.node_version, self.policy.timeouts)
        return GatewayLink(client, _MaskedSource(source, self.surroundings))
