"""A gateway's parts, some of them with bugs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.ports.clock import Clock, Ids
from node.sandbox.broker import Broker, Ticket
from node.sandbox.buggy.dispatch import BuggyDispatcher
from node.sandbox.buggy.settlement import BuggySettlement
from node.sandbox.bugs import Bugs
from node.sandbox.ground import Ground
from node.sandbox.issuer import Issuer
from node.sandbox.nodes import NodeRecord, Nodes
from node.sandbox.parts import Parts, honest_parts
from node.sandbox.policy import SandboxPolicy


class BuggyParts:
    """Makes the parts of one gateway that has these bugs: a `PartsMaker`."""

    def __init__(self, bugs: Bugs) -> None:
        self._bugs = bugs

    def __call__(self, ground: Ground) -> Parts:
        """The parts."""
        bugs, policy = self._bugs, ground.policy
        broker = BuggyBroker(ground.broker, bugs)
        ground = replace(ground, broker=broker)
        honest = honest_parts(ground)
        ledger, leases = honest.ledger, honest.leases
        nodes = BuggyNodes(bugs, policy, ground.secret)
        settlement = BuggySettlement(bugs, ground, nodes=nodes, ledger=ledger, leases=leases)
        settling, leaked = settlement.is_under_way, settlement.is_leaked
        return replace(
            honest,
            issuer=BuggyIssuer(bugs, ground.secret, policy.token_lifetime_s, ground.clock, ground.ids),
            nodes=nodes,
            settlement=settlement,
            dispatch=BuggyDispatcher(
                bugs, leaked, ground, nodes=nodes, ledger=ledger, leases=leases, is_settling=settling
            ),
        )


class BuggyBroker:
    """A `Broker` with the bugs ``lose-job``, ``wrong-model`` and ``starve``."""

    def __init__(self, inner: Broker, bugs: Bugs) -> None:
        self._inner = inner
        self._bugs = bugs
        self._starved: dict[str, bool] = {}
        """Every model that was asked for, and whether its jobs are left to wait."""

    async def publish(self, ticket: Ticket) -> None:
        """See `Broker.publish`."""
        if ticket.model not in self._starved:
            self._starved[ticket.model] = self._bugs.strikes("starve") or (
                not self._starved and self._bugs.has("starve")
            )
        if not self._bugs.strikes("lose-job"):
            await self._inner.publish(ticket)

    async def claim(self, models: Sequence[str], unfit: Callable[[JobId], bool]) -> Ticket | None:
        """See `Broker.claim`."""
        if self._bugs.strikes("wrong-model"):
            ticket = await self._inner.claim([model for model in self._starved if model not in models], unfit)
            if ticket is not None:
                return ticket
        return await self._inner.claim([model for model in models if not self._starved.get(model, False)], unfit)

    async def requeue(self, ticket: Ticket) -> None:
        """See `Broker.requeue`."""
        await self._inner.requeue(ticket)

    async def settle(self, job_id: JobId) -> None:
        """See `Broker.settle`."""
        await self._inner.settle(job_id)

    def holds(self, job_id: JobId) -> bool:
        """See `Broker.holds`."""
        return self._inner.holds(job_id)

    @property
    def depth(self) -> int:
        """See `Broker.depth`."""
        return self._inner.depth

    async def aclose(self) -> None:
        """See `Broker.aclose`."""
        await self._inner.aclose()


class BuggyIssuer(Issuer):
    """An `Issuer` with the bug ``stale-token``."""

    def __init__(self, bugs: Bugs, secret: Secret, lifetime_s: float, clock: Clock, ids: Ids) -> None:
        super().__init__(secret, lifetime_s, clock, ids)
        self._bugs = bugs

    def _on_expired(self, token: str) -> None:
        if not self._bugs.strikes("stale-token"):
            super()._on_expired(token)


class BuggyNodes(Nodes):
    """`Nodes` with the bug ``forget-node``."""

    def __init__(self, bugs: Bugs, policy: SandboxPolicy, pepper: Secret) -> None:
        super().__init__(policy, pepper)
        self._bugs = bugs

    def register(self, node_id: NodeId, version: str, now: float) -> NodeRecord:
        """See `Nodes.register`."""
        record = super().register(node_id, version, now)
        if self._bugs.strikes("forget-node"):
            self.leave(record, now)
        return record
