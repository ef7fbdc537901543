"""Who gets which job, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.ids import JobId, NodeId
from node.sandbox.ground import Ground
from node.sandbox.jobs import Claim, HowEnded, JobRecord, JobState
from node.sandbox.journal import Recorded
from node.sandbox.leases import Leases
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import NodeRecord, Nodes


class Dispatcher:
    """Leases queued jobs to the nodes that poll, and queues again what was not answered in time.

    A job that came back goes to a node that has not had it, for ``prefer_other_s`` and as long as such a node is
    active; then to any. Leases are looked at when somebody polls or asks for sums, so that no timer is needed.
    """

    def __init__(
        self, ground: Ground, *, nodes: Nodes, ledger: Ledger, leases: Leases, is_settling: Callable[[JobId], bool]
    ) -> None:
        self._policy = ground.policy
        self._broker = ground.broker
        self._journal = ground.journal
        self._clock = ground.clock
        self._nodes = nodes
        self._ledger = ledger
        self._leases = leases
        self._is_settling = is_settling

    async def restore(self, recorded: Recorded) -> None:
        """Let kept leases run on and queue all other open jobs; the ledger holds their records already."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        for job, holder, until in recorded.leases:
            self._leases.grant(job.job_id, holder, now + min(until - wall, self._policy.lease_s))
        for job in recorded.jobs:
            if job.answer is None and self._leases.holder(job.job_id) is None:
                job.returned_at = now
                await self._broker.publish(job.ticket)

    async def claim(self, node: NodeRecord) -> JobRecord | None:
        """Lease the node the oldest job of its models, None when there is none; durable when it returns.

        A cancelled call leaves the job queued.

        Raises:
            StorageUnavailable: the claim cannot be kept; the job is queued again.
        """
        now = self._clock.monotonic()
        if self._leases.due(now):
            await self.expire()
        while True:
            ticket = await self._broker.claim(node.models, lambda job_id: self._is_unfit(job_id, node, now))
            if ticket is None:
                return None
            job = self._ledger.find(ticket.job_id)
            if job is not None and self._is_open(job):
                return await self._lease(job, node, now)
            await self._broker.settle(ticket.job_id)

    async def give_up(self, node: NodeRecord) -> None:
        """End all leases of a node; its jobs are queued again."""
        for job_id in self._leases.give_up(node.node_id):
            await self._give_back(job_id, node.node_id, "left")

    async def expire(self) -> None:
        """End the leases whose time is over; their jobs are queued again."""
        for job_id, node in self._leases.expired(self._clock.monotonic()):
            await self._give_back(job_id, node, "lapsed")

    def holds(self, job_id: JobId) -> bool:
        """Whether the job is queued or leased."""
        return self._broker.holds(job_id) or self._leases.holder(job_id) is not None

    def state(self, job: JobRecord) -> JobState:
        """Where the job is."""
        if job.answer is not None:
            return "answered"
        if self._leases.holder(job.job_id) is not None:
            return "leased"
        return "queued" if self._broker.holds(job.job_id) else "lost"

    def _is_open(self, job: JobRecord) -> bool:
        """Whether a job that was queued may be handed out."""
        return job.answer is None

    async def _lease(self, job: JobRecord, node: NodeRecord, now: float) -> JobRecord | None:
        lease_s = self._policy.lease_s
        self._leases.grant(job.job_id, node.node_id, now + lease_s)
        wall = self._clock.wall()
        claim = Claim(node.node_id, wall, wall + lease_s)
        try:
            await self._journal.claimed(job, claim, wall + lease_s)
        except BaseException:
            if self._leases.holder(job.job_id) == node.node_id:
                self._leases.end(job.job_id)
                await self._requeue(job.job_id)
            raise
        if self._leases.holder(job.job_id) != node.node_id:
            return None
        self._ledger.claimed(job, claim)
        return job

    def _is_unfit(self, job_id: JobId, node: NodeRecord, now: float) -> bool:
        if self._is_settling(job_id):
            return True
        job = self._ledger.find(job_id)
        return (
            job is not None
            and job.claimed_by(node.node_id)
            and now < job.returned_at + self._policy.prefer_other_s
            and self._nodes.another_offers(job.model, [claim.node for claim in job.claims], now)
        )

    async def _give_back(self, job_id: JobId, node: NodeId, how: HowEnded) -> None:
        """The node's lease has ended without an answer: the job is queued again."""
        self._ledger.lease_ended(job_id, node, how, self._clock.wall())
        await self._requeue(job_id)

    async def _requeue(self, job_id: JobId) -> None:
        job = self._ledger.returned(job_id, self._clock.monotonic())
        await self._broker.requeue(job.ticket)
